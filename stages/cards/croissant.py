"""``croissant.json``: the stores of a data set in the format of MLCommons, version 1.1."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stages.cards.stores import CardStore, Publication

CONFORMS_TO: Final = "http://mlcommons.org/croissant/1.1"

PAPER: Final = (
    "@inproceedings{kaiser2025uncertainsam, title={UncertainSAM: Fast and Efficient Uncertainty "
    "Quantification of the Segment Anything Model}, author={Kaiser, Timo and Norrenbrock, Thomas "
    "and Rosenhahn, Bodo}, booktitle={International Conference on Machine Learning}, year={2025}}"
)

_CR: Final = (
    *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field"),
    *("fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset"),
    *("jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
"""Words of the vocabulary of Croissant that mean themselves."""

CONTEXT: Final[Mapping[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{word: f"cr:{word}" for word in _CR},
}
"""That of the specification: readers warn of any other."""


def croissant(
    stores: Sequence[CardStore], publication: Publication, description: str
) -> dict[str, Any]:
    """A data set in the words of Croissant.

    Croissant knows no Zarr. For each store there are its manifest, whose digest holds the digests
    of all other files, and the set of its files.
    """
    return {
        "@context": {**CONTEXT},
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": publication.name,
        "description": description,
        "license": publication.license,
        "url": publication.page,
        "creator": {"@type": "sc:Organization", "name": publication.creator},
        "datePublished": publication.date,
        "version": publication.version,
        "citeAs": PAPER,
        "distribution": [node for store in stores for node in _files(store, publication)],
    }


def _files(store: CardStore, publication: Publication) -> list[dict[str, Any]]:
    digest = {
        "@type": "cr:FileObject",
        "@id": store.file,
        "name": store.file,
        "contentUrl": publication.url(store.file),
        "contentSize": f"{store.record.n_bytes} B",
        "encodingFormat": "application/zip" if store.is_zipped else "application/json",
        "sha256": store.record.sha256,
    }
    files = {
        "@type": "cr:FileSet",
        "@id": store.path,
        "name": store.path,
        "description": f"A Zarr v3 store of kind {store.described.kind}.",
        "includes": f"{store.path}/**",
        "encodingFormat": "application/vnd.zarr; version=3",
    }
    return [digest] if store.is_zipped else [digest, files]
