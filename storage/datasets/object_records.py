"""Types of the data-set readers: where to read, and the records of images and objects read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.vocabulary import MAX_PIXELS
from storage.errors import DataError
from storage.images.image_files import SHRINK

Masklets = Literal["manual", "auto", "both"]

Objects = Literal["binary", "values", "files"]


@dataclass(frozen=True)
class Source:
    """Where the files of a split are, and which of its videos, frames and masklets to read.

    Attributes
    ----------
    images, annotations
        Folders or files, depending on the layout. Images of reader ``coco`` may lie at an address,
        see ``storage.images.videos.address_in``.
    list
        File that lists the videos of the split.
    frames
        Slice of a video's annotated frames to read, counted from 0.
    subsets
        Folders of SA-V train that are read; None reads all.
    masklets
        Files of masklets (masks of an object over a video) of SA-V train that are read.
    objects
        How the mask files of reader ``masks`` hold objects: ``binary`` as foreground of one object,
        ``values`` as one value per object, ``files`` as one file per object.
    void
        Values of mask files, beside 0, that stand for no object.
    suffix
        Text that follows the image's name in the name of its mask, such as ``_mask``.
    """

    images: Path
    annotations: Path
    list: Path | None = None
    frames: slice = field(default_factory=lambda: slice(0, None, 1))  # has no hash before 3.12
    subsets: tuple[str, ...] | None = None
    masklets: Masklets = "both"
    objects: Objects = "binary"
    void: tuple[int, ...] = ()
    suffix: str = ""


@dataclass(frozen=True)
class ImageRecord:
    """File name and size of an image, as its data set states them."""

    file: str
    """Path relative to the split's folder of images, with ``/`` between folders. A frame of a video
    is named as by ``storage.images.videos.frame_file``."""
    height_px: int
    width_px: int


@dataclass(frozen=True)
class Annotated:
    """An image and the masks of its objects; masks may be small or empty."""

    image: ImageRecord
    masks: tuple[tuple[int, str], ...]
    """Id of each mask, and its compressed RLE of the image's size; no id occurs twice."""
    annotators: tuple[int, ...] = ()
    """Who outlined each mask, counted from 0, where several persons outlined the same image."""
    segments: tuple[tuple[int, str], ...] = ()
    """Who outlined it, and RLE, of each segment of several persons, objects or not."""
    n_crowd: int = 0
    """Number of annotations left out because they stand for a crowd."""


@dataclass(frozen=True)
class Medium:
    """An image or a video of a data set, whose annotations are read on demand."""

    name: str
    """Name of the data set and of the image or video, for messages."""
    read_annotated: Callable[[], Iterator[Annotated]]
    """Yields the image, or the frames of the video in their order, with their masks. Raises
    ``DataError`` for faulty annotations."""
    lacks_auto: bool = False
    """Whether it is a video of SA-V train without the automatic masklets that settings ask for."""


@dataclass(frozen=True)
class ObjectRecord:
    """One annotated object: its image, its id and its mask."""

    image_index: int
    object_id: int
    mask_rle: str
    """The mask as COCO's compressed RLE, of the image's size."""
    annotator: int | None = None
    """Who outlined the object, counted from 0 in each image; None where one person did."""


@dataclass(frozen=True)
class SplitRecords:
    """Images and objects that a split has, sorted by image, and how many were left out."""

    images: tuple[ImageRecord, ...]
    objects: tuple[ObjectRecord, ...]
    n_media: int
    """Number of images or videos that have an object, which are statistically independent."""
    segments: tuple[tuple[tuple[int, str], ...], ...] = ()
    """``Annotated.segments`` of each image."""
    n_crowd: int = 0
    """Number of annotations left out because they stand for a crowd."""
    n_small: int = 0
    """Number of masks left out because they are too small, or empty."""
    n_without_auto: int = 0
    """Number of videos of SA-V train without the automatic masklets that settings ask for."""


def check_pixels(label: str, height_px: int, width_px: int) -> None:
    """Raise a DataError for a recorded size of an image that Pillow would not read.

    It is called before a mask of this size is drawn. ``label`` names the image in the message.
    """
    if height_px * width_px > MAX_PIXELS:
        raise DataError(
            f"{label} must have at most {MAX_PIXELS} pixels, got {height_px} x {width_px}; {SHRINK}"
        )
