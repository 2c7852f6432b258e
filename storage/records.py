"""What a reader finds in a data set, before any pixel of an image is read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageRecord:
    """An image as its data set describes it."""

    file: str
    """Below the split's folder of images, with ``/`` between folders."""
    height_px: int
    width_px: int


@dataclass(frozen=True)
class ObjectRecord:
    """One annotated object."""

    image_index: int
    object_id: int
    mask_rle: str
    """COCO's compressed RLE, of the image's size."""


@dataclass(frozen=True)
class Records:
    """The images that have an object, and their objects in the images' order."""

    images: tuple[ImageRecord, ...]
    objects: tuple[ObjectRecord, ...]
    n_crowd: int = 0
    """Annotations left out because they stand for a crowd."""
    n_small: int = 0
    """Annotations left out because their masks are too small."""
