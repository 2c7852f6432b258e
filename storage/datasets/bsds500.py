"""Reads BSDS500, the Berkeley segmentation data set: photographs that several persons divided.

Arbelaez, Maire, Fowlkes and Malik, "Contour Detection and Hierarchical Image Segmentation" (TPAMI
2011). Each photograph has a MATLAB file with a map of labels per annotator.
"""

import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Integer

from storage.datasets.frame_folders import paired_stems
from storage.datasets.object_records import Annotated, ImageRecord, Medium, Source, check_pixels
from storage.errors import DataError
from storage.folders import is_special
from storage.rle import encode_rle

SHARES: Final = (0.003, 0.7)
"""Smallest and largest share of the image that an object covers. Smaller segments are specks beside
outlines, larger ones the background of everything else."""

IDS_PER_ANNOTATOR: Final = 10**9
"""Ids of the first annotator's objects begin at 0, those of the second at this number, and so on;
no image has so many pixels."""

DAMAGE: Final = (
    *(OSError, ValueError, TypeError, LookupError, NotImplementedError),
    *(OverflowError, MemoryError, zlib.error),
)
"""Types of the errors that SciPy raises, beside its own, for a file that is damaged, of MATLAB 7.3
or none of MATLAB's; the last but one where a damaged size asks for too much memory."""


def list_bsds500(source: Source) -> tuple[Medium, ...]:
    """List the photographs of a folder of BSDS500, such as ``train``, sorted by name.

    An object is a connected segment (4 neighbours) of one annotator that covers a share of the
    image within ``SHARES``. Its id tells its annotator (``IDS_PER_ANNOTATOR``) and its first pixel.
    Every photograph must have a MATLAB file.
    """
    names = paired_stems("BSDS500", source.images, source.annotations, suffix=".mat")
    return tuple(
        Medium(f"BSDS500 image {name}", partial(_read_segments, source, name)) for name in names
    )


def _read_segments(source: Source, name: str) -> Iterator[Annotated]:
    label = f"BSDS500 image {name}"
    maps = label_maps(source.annotations / f"{name}.mat", label)
    objects, segments = [], []
    for annotator, labels in enumerate(maps):
        for mask in _segments(labels):
            segments.append((annotator, encode_rle(mask)))
            if SHARES[0] <= mask.mean() <= SHARES[1]:
                number = annotator * IDS_PER_ANNOTATOR + int(np.flatnonzero(mask)[0])
                objects.append((number, segments[-1][1]))
    annotators = tuple(number // IDS_PER_ANNOTATOR for number, _ in objects)
    image = ImageRecord(f"{name}.jpg", *maps[0].shape)
    yield Annotated(image, tuple(objects), annotators, tuple(segments))


def _segments(labels: Integer[np.ndarray, "h w"]) -> Iterator[Bool[np.ndarray, "h w"]]:
    """Yield the connected segments of one annotator."""
    from scipy.ndimage import label  # noqa: PLC0415 - reading stores and COCO needs no scipy

    for value in np.unique(labels):
        parts, n_parts = label(labels == value)
        yield from (parts == part for part in range(1, n_parts + 1))


def label_maps(path: Path, label: str) -> Sequence[Integer[np.ndarray, "h w"]]:
    """Read the map of labels of each annotator; all have one size.

    Raises a DataError if the file is missing, damaged or of MATLAB 7.3, has no annotator, or its
    maps are not of whole numbers and of one size.
    """
    from scipy.io import loadmat  # noqa: PLC0415 - as in _segments
    from scipy.io.matlab import MatReadError  # noqa: PLC0415 - likewise

    rule = f"{label}: {path} must be a MATLAB file of version 4 to 7.2 with groundTruth"
    if is_special(path):
        raise DataError(f"{rule}, got: a pipe or a device")
    try:
        truth = loadmat(path, variable_names=["groundTruth"])["groundTruth"]
        maps = [np.asarray(person["Segmentation"][0, 0]) for person in truth.ravel()]
    except (*DAMAGE, MatReadError) as error:
        raise DataError(f"{rule}, got: {error}") from error
    if not maps:
        raise DataError(f"{label}: {path} must have an annotator or more, got none")
    forms = sorted({f"{labels.dtype} {labels.shape}" for labels in maps})
    if len(forms) > 1 or maps[0].ndim != 2 or maps[0].dtype.kind not in "iu":  # noqa: PLR2004
        raise DataError(
            f"{label}: {path} must have maps of whole numbers, rows by columns, of one type and "
            f"size, got {'; '.join(forms)}"
        )
    check_pixels(label, *maps[0].shape)
    return maps
