"""ADE20K challenge: ``images/<split>`` and ``annotations/<split>``, one object per class."""

from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np

from storage.datasets.frame_folders import paired_stems, read_indices, split_indices
from storage.datasets.records import Annotated, ImageRecord, Part, Source
from storage.errors import DataError

UNLABELLED: Final = 0
N_CLASSES: Final = 150


def list_ade20k(source: Source) -> tuple[Part, ...]:
    """Images by name; an object's id is its class, 1 to 150, as in UncertainSAM's own code.

    Raises
    ------
    DataError
        If a folder, an image or an annotation is missing, or an annotation holds no classes.
    """
    names = paired_stems("ADE20K", source.images, source.annotations)
    return tuple(Part(f"ADE20K image {name}", partial(_read, source, name)) for name in names)


def _read(source: Source, name: str) -> Iterator[Annotated]:
    what, path = f"ADE20K image {name}", source.annotations / f"{name}.png"
    classes = read_indices(path, what, ("L",))
    if classes.max() > N_CLASSES:
        raise DataError(f"{what}: {path} must hold classes 0 to {N_CLASSES}, got {np.max(classes)}")
    image = ImageRecord(f"{name}.jpg", *classes.shape)
    yield Annotated(image, split_indices(classes, (UNLABELLED,)))
