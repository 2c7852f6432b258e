"""The request to a reader and the records it returns; no pixel of an image is read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from storage.errors import DataError
from storage.images.image_files import MAX_PIXELS, SHRINK

Masklets = Literal["manual", "auto", "both"]


@dataclass(frozen=True)
class Source:
    """Where a split is, and which part of it to read.

    Attributes
    ----------
    images, annotations
        Folders, or files, as the reader's layout has them.
    list
        File that lists the videos of the split.
    frames
        Which of a video's annotated frames are taken, counted from 0.
    subsets
        Folders of SA-V train that are read; None reads all.
    masklets
        Files of SA-V train that are read.
    """

    images: Path
    annotations: Path
    list: Path | None = None
    frames: slice = field(default_factory=lambda: slice(0, None, 1))  # has no hash before 3.12
    subsets: tuple[str, ...] | None = None
    masklets: Masklets = "both"


@dataclass(frozen=True)
class ImageRecord:
    """An image as its data set describes it."""

    file: str
    """Below the split's folder of images, with ``/`` between folders; for a frame of a video see
    ``storage.images.videos.frame_file``."""
    height_px: int
    width_px: int


@dataclass(frozen=True)
class Annotated:
    """An image and the masks on it, of any size, also empty ones."""

    image: ImageRecord
    masks: tuple[tuple[int, str], ...]
    """Ids, each once, and COCO's compressed RLE of the image's size."""
    n_crowd: int = 0
    """Annotations left out because they stand for a crowd."""


@dataclass(frozen=True)
class Medium:
    """A listed image or video; its annotations are read on demand."""

    name: str
    """For messages: data set and image or video."""
    read: Callable[[], Iterator[Annotated]]
    """Yields its images in their order."""
    lacks_auto: bool = False
    """A video of SA-V train without the automatic masklets that are asked for."""


@dataclass(frozen=True)
class ObjectRecord:
    """One annotated object."""

    image_index: int
    object_id: int
    mask_rle: str
    """COCO's compressed RLE, of the image's size."""


@dataclass(frozen=True)
class SplitRecords:
    """The images that have an object, and their objects in the images' order."""

    images: tuple[ImageRecord, ...]
    objects: tuple[ObjectRecord, ...]
    n_crowd: int = 0
    """Annotations left out because they stand for a crowd."""
    n_small: int = 0
    """Masks left out because they are too small, or empty."""
    n_without_auto: int = 0
    """Videos of SA-V train without the automatic masklets that are asked for."""


def check_pixels(what: str, height_px: int, width_px: int) -> None:
    """Refuse a recorded size that no image can have, before any mask of it is drawn.

    Raises
    ------
    DataError
        Saying how large an image may be.
    """
    if height_px * width_px > MAX_PIXELS:
        raise DataError(
            f"{what} must have at most {MAX_PIXELS} pixels, got {height_px} x {width_px}; {SHRINK}"
        )
