"""The stores that a card lists, and ``croissant.json``, their description in MLCommons' format."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stages.settings.parsing import ParamsError
from storage.errors import DataError, hidden
from storage.files.manifest import FILE
from storage.store.checks import find_stores
from storage.store.inspection import Store, open_store

HUB: Final = re.compile(r"hf://datasets/(?P<name>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?")
"""Pattern of the address of a data set on Hugging Face, with or without a revision."""

SITE: Final = "https://huggingface.co/datasets"


@dataclass(frozen=True)
class Publication:
    """Facts about a publication of stores that the stores do not contain."""

    address: str
    """Address of the folder that the stores' paths are relative to, without a slash at its end."""
    license: str
    """License as the hub names it, such as ``cc-by-4.0``."""
    creator: str
    """Name of the organization that made the stores."""
    date: str
    """Date of the publication, YYYY-MM-DD."""
    version: str

    @property
    def name(self) -> str:
        """Name of the data set: the last part of its address, without a revision."""
        return self.address.rpartition("/")[2].partition("@")[0]

    @property
    def page(self) -> str:
        """Address of the data set's page on Hugging Face; elsewhere, the address itself."""
        hub = HUB.fullmatch(self.address)
        return f"{SITE}/{hub['name']}" if hub else self.address

    def url(self, path: str) -> str:
        """Web address of the file at ``path`` below the publication's address.

        Hugging Face's ``hf://``, which other programs do not know, becomes ``https://``.
        """
        hub = HUB.fullmatch(self.address)
        folder = f"{self.page}/resolve/{hub['revision'] or 'main'}" if hub else self.address
        return f"{folder}/{path}"


def card_stores(paths: Sequence[str]) -> list[Store]:
    """Open the stores at and below the given paths, each store once.

    Raises
    ------
    ParamsError
        If a path is not below the working folder.
    DataError
        If a file of a store is missing or damaged.
    """
    for path in paths:
        if Path(path).is_absolute() or "://" in path or ".." in Path(path).parts:
            raise ParamsError(
                f"STORE must be a path below the working folder, as it will be below the address, "
                f"got {hidden(path)}"
            )
    store_paths = dict.fromkeys(store for path in paths for store in find_stores(Path(path)))
    stores = [open_store(path) for path in store_paths]
    for store in stores:
        if store.faulty:
            raise DataError(f"{store} must be complete, got {len(store.faulty)} faulty files")
    return stores


def n_objects(stores: Sequence[Store]) -> int:
    """Number of objects in all splits; the stores of one split count once.

    If no store has both a split and objects, the objects of all stores are summed.
    """
    counts = {store.path: store.sizes.get("object", 0) for store in stores}
    in_splits = [store for store in stores if store.signature.get("split") and counts[store.path]]
    by_split = {store.signature["split"]: counts[store.path] for store in in_splits}
    return sum((by_split or counts).values())


CONFORMS_TO: Final = "http://mlcommons.org/croissant/1.1"

CITATION: Final = (
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
"""Terms that Croissant's context maps to ``cr:`` and the same name."""

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
"""JSON-LD context of Croissant's specification, unchanged: readers warn of other contexts."""


def croissant(
    stores: Sequence[Store], publication: Publication, description: str
) -> dict[str, Any]:
    """Describe a data set of stores in Croissant's format, as JSON-LD.

    Croissant has no term for Zarr. A store has two entries: its manifest, whose digest covers the
    digests of all other files, and the set of its files. ``description`` is a text about the data
    set.
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
        "citeAs": CITATION,
        "distribution": [node for store in stores for node in _files(store, publication)],
    }


def _files(store: Store, publication: Publication) -> list[dict[str, Any]]:
    path, record = store.path.as_posix(), store.files.record(FILE)
    file = f"{path}/{FILE}"
    digest = {
        "@type": "cr:FileObject",
        "@id": file,
        "name": file,
        "contentUrl": publication.url(file),
        "contentSize": f"{record.n_bytes} B",
        "encodingFormat": "application/json",
        "sha256": record.sha256,
    }
    files = {
        "@type": "cr:FileSet",
        "@id": path,
        "name": path,
        "description": f"A Zarr v3 store of kind {store.kind}.",
        "includes": f"{path}/**",
        "encodingFormat": "application/vnd.zarr; version=3",
    }
    return [digest, files]
