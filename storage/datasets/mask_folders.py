"""Reads data sets that are a folder of images and a folder of mask files with the same names."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, UInt32

from storage.datasets.frame_folders import check_folder, check_paired
from storage.datasets.object_records import Annotated, ImageRecord, Medium, Source
from storage.errors import DataError, ImageError, counted, listed
from storage.images.image_files import DECODER_ERRORS, open_image, unreadable, upright_size
from storage.rle import encode_rle

SUFFIXES: Final = (
    *(".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".heic", ".heif", ".jp2", ".ppm"),
)
"""Suffixes of image files and of mask files, in lower case."""

NUMBERS: Final = ("1", "L", "P", "I;16", "I;16B", "I")
"""Pillow's modes with one number per pixel."""

COLOURS: Final = ("LA", "RGB", "RGBA")
"""Pillow's modes that are converted to red, green and blue."""

LOSSY_LIMIT: Final = 127
"""Largest brightness of background in a JPEG or lossy WebP mask; compression changes its values."""


def list_masks(source: Source) -> tuple[Medium, ...]:
    """List the images of a folder and its subfolders that have a mask, sorted by name.

    The name of a mask is the name of its image, followed by ``source.suffix``; the files may have
    different formats. If ``source.objects`` is ``files``, the masks of an image are a folder.
    Raises a DataError if a folder is missing, no image has a mask, a mask file has no image, or two
    images or two masks have the same name. Reading a medium raises it if a mask cannot be read, or
    masks differ in size.
    """
    images = _by_name("image", image_files(check_folder("images", source.images)), source.images)
    folder = check_folder("annotations", source.annotations)
    is_folder = source.objects == "files"
    paths = _subfolders(folder) if is_folder else image_files(folder)
    masks = _by_name("mask", paths, folder, source.suffix)
    names = sorted(images.keys() & masks.keys())
    if not names:
        kind = "folders" if is_folder else "files"
        raise DataError(
            f"{folder} must have {kind} of masks that are named by images in {source.images}, "
            f"followed by {source.suffix!r}, got none ({counted(len(images), 'image')}, "
            f"{counted(len(masks), 'mask')})"
        )
    # Not checked for folders: a parent of mask folders is a folder without an image, too.
    strays = [] if is_folder else sorted(masks.keys() - images.keys())
    check_paired("reader masks", source.images, folder, unmasked=(), unpictured=strays)
    return tuple(
        Medium(f"image {name}", partial(_read, source, images[name], masks[name])) for name in names
    )


def image_files(folder: Path) -> Iterator[Path]:
    """Yield the files with one of ``SUFFIXES`` in a folder and its subfolders, but hidden files."""
    paths = (path for path in _below(folder) if path.suffix.lower() in SUFFIXES)
    return (path for path in paths if not path.name.startswith(".") and path.is_file())


def read_sizes(folder: Path) -> tuple[list[ImageRecord], list[str]]:
    """Read the sizes of all image files of a folder and its subfolders, sorted by name.

    The result is a record of each readable image, and an error message for each other file.
    """
    records, faults = [], []
    for path in sorted(image_files(folder)):
        try:
            size_px = upright_size(path)
            records.append(ImageRecord(path.relative_to(folder).as_posix(), *size_px))
        except ImageError as error:
            faults.append(str(error))
    return records, faults


def _subfolders(folder: Path) -> Iterator[Path]:
    return (path for path in _below(folder) if path.is_dir())


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files and folders below a folder; links to folders are followed, as rglob does not.

    A link to a folder that the link lies in is left out: it would be followed for ever.
    """
    for parent, names, files in os.walk(folder, followlinks=True):
        names[:] = [name for name in names if not _leads_up(Path(parent, name), folder)]
        yield from (Path(parent, name) for name in (*names, *files))


def _leads_up(path: Path, folder: Path) -> bool:
    around = (folder / parent for parent in path.relative_to(folder).parents)
    return path.is_symlink() and any(
        parent.resolve().is_relative_to(path.resolve()) for parent in around
    )


def _by_name(
    kind: str, paths: Iterable[Path], folder: Path, suffix: str = ""
) -> Mapping[str, Path]:
    """Paths by their name relative to ``folder``, without file format and without ``suffix``.

    A path whose name does not end in ``suffix`` is left out. Raises a DataError if two paths,
    called by ``kind``, have the same name.
    """
    by_name: dict[str, Path] = {}
    for path in paths:
        relative = path.relative_to(folder)
        name = (relative if path.is_dir() else relative.with_suffix("")).as_posix()
        if not name.endswith(suffix):
            continue
        name = name.removesuffix(suffix)
        if name in by_name:
            raise DataError(
                f"each {kind} must have a name of its own without its format, "
                f"got {listed(sorted(map(str, (by_name[name], path))))}"
            )
        by_name[name] = path
    return by_name


def _read(source: Source, image: Path, mask: Path) -> Iterator[Annotated]:
    label = f"image {image.relative_to(source.images).as_posix()}"
    masks = _masks_of(source, mask, label)
    sizes_px = {foreground.shape for foreground in masks.values()}
    if len(sizes_px) != 1:
        raise DataError(f"{label}: masks must be of one size, got {sorted(sizes_px) or 'none'}")
    ((height_px, width_px),) = sizes_px
    record = ImageRecord(image.relative_to(source.images).as_posix(), height_px, width_px)
    yield Annotated(record, tuple((number, encode_rle(masks[number])) for number in sorted(masks)))


def _masks_of(source: Source, mask: Path, label: str) -> Mapping[int, Bool[np.ndarray, "h w"]]:
    """Masks of the objects of one image by object id; ``mask`` is a file or a folder of files.

    A file without an object gives an empty mask, an empty folder gives no mask.
    """
    if source.objects == "binary":
        return {1: _foreground(mask, source.void, label)}
    if source.objects == "values":
        values = _values(mask, label)
        ids = sorted({*np.unique(values).tolist()} - {0, *source.void})
        # An image without objects gets an empty mask, which carries its size.
        return {number: values == number for number in ids} or {1: np.zeros(values.shape, bool)}
    paths = sorted(path for path in image_files(mask) if path.parent == mask)
    return {
        number: _foreground(path, source.void, label)
        for number, path in zip(_numbers([path.stem for path in paths]), paths, strict=True)
    }


def _numbers(names: list[str]) -> Collection[int]:
    """Ids of objects from the names of their files.

    They are the names if all are different whole numbers, else 1, 2, 3, ... in the order of names.
    """
    if all(name.isdecimal() for name in names) and len({*map(int, names)}) == len(names):
        return [int(name) for name in names]
    return range(1, len(names) + 1)


def _foreground(path: Path, void: Collection[int], label: str) -> Bool[np.ndarray, "h w"]:
    """Read the mask file of one object; values in ``void`` are background.

    In a palette file, each index but 0 is foreground. In a gray or colour file, a pixel is
    foreground where its brightest channel exceeds half of the file's largest value, in JPEG
    and lossy WebP ``LOSSY_LIMIT``: files with soft edges, with values 0/1 or 0/255, and with 16
    bits are all in use.
    """
    pixels, mode, is_lossy = _pixels(path, label)
    brightness = pixels.max(axis=2) if pixels.ndim > 2 else pixels  # noqa: PLR2004 - with channels
    brightness = np.where(np.isin(brightness, [*void]), 0, brightness)
    half = LOSSY_LIMIT if is_lossy else brightness.max(initial=0) / 2
    return np.asarray(brightness > (0 if mode == "P" else half))


def _values(path: Path, label: str) -> UInt32[np.ndarray, "h w"]:
    """Number at each pixel of a mask file: index, gray value, or red + 256 green + 65,536 blue.

    Raises a DataError if the file cannot be read, or is a JPEG or a lossy WebP.
    """
    pixels, _, is_lossy = _pixels(path, label)
    if is_lossy:
        raise DataError(
            f"{label}: {path} must hold values, which JPEG and lossy WebP change: save it as PNG"
        )
    if pixels.ndim == 2:  # noqa: PLR2004 - no channels
        return pixels
    return np.asarray(pixels @ np.array([1, 256, 65_536], np.uint32))


def _pixels(path: Path, label: str) -> tuple[UInt32[np.ndarray, "h w ..."], str, bool]:
    """Pixels of a mask file, its mode in Pillow, and whether its format is lossy.

    Colours are red, green and blue along the last axis; transparency is dropped. Raises a DataError
    if the file cannot be read, or has another mode than ``NUMBERS`` and ``COLOURS``.
    """
    try:
        with open_image(path) as image:
            if image.mode in (*NUMBERS, *COLOURS):
                colours = image.convert("RGB") if image.mode in COLOURS else image
                pixels = np.asarray(colours).astype(np.uint32)
                return pixels, image.mode, _is_lossy(path, image.format)
            mode = image.mode
    except DECODER_ERRORS as error:
        raise DataError(f"{label}: {unreadable(path, 'mask', error)}") from error
    raise DataError(
        f"{label}: {path} must have one of the modes {', '.join((*NUMBERS, *COLOURS))}, got {mode}"
    )


def _is_lossy(path: Path, image_format: str | None) -> bool:
    """Whether a file is a JPEG, or a WebP whose first chunk is not that of lossless pixels."""
    if image_format != "WEBP":
        return image_format == "JPEG"
    with path.open("rb") as file:
        return file.read(16)[12:] != b"VP8L"
