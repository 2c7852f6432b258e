"""Folders of frames and of their PNG masks, a layout of several data sets."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from storage.datasets.object_records import Annotated, Medium, Source
from storage.errors import DataError, listed
from storage.images.image_files import DECODER_ERRORS, unreadable
from storage.rle import encode_rle


def check_folder(what: str, folder: Path) -> Path:
    """The folder itself, if it is one; ``what`` names it in the message.

    Raises
    ------
    DataError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{what} must be a folder, got none at {folder}")
    return folder


def list_videos(
    data_set: str,
    source: Source,
    videos: Collection[str],
    read: Callable[[str, str], Iterator[Annotated]],
) -> tuple[Medium, ...]:
    """A part for each video, read by its name for messages and its own.

    Raises
    ------
    DataError
        If a folder is missing.
    """
    check_videos(data_set, source, videos)
    named = {f"{data_set} video {video}": video for video in videos}
    return tuple(Medium(what, partial(read, what, own)) for what, own in named.items())


def check_videos(data_set: str, source: Source, videos: Iterable[str]) -> None:
    """Refuse a split without its folders, or one that lacks a video.

    Raises
    ------
    DataError
        If a folder is missing.
    """
    for what, folder in (("images", source.images), ("annotations", source.annotations)):
        check_folder(f"{data_set}: {what}", folder)
    for video in videos:
        check_folder(f"images of {data_set} video {video}", source.images / video)


def read_names(data_set: str, path: Path) -> list[str]:
    """Names of a split's videos, each once, from a file of one per line.

    Raises
    ------
    DataError
        If there is no such file, or it names none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{data_set}: {path} must be a list of videos, got: {reason}") from error
    names = dict.fromkeys(line.strip() for line in lines if line.strip())
    if not names:
        raise DataError(f"{data_set}: {path} must name videos, got none")
    return [*names]


def stems(folder: Path, suffix: str) -> list[str]:
    """Names without suffix of a folder's files of one kind, sorted; hidden ones are left out."""
    paths = (path for path in folder.iterdir() if path.suffix == suffix)
    return sorted(path.stem for path in paths if not path.name.startswith("."))


def paired_stems(what: str, images: Path, masks: Path, hint: str = "") -> list[str]:
    """Names of frames, each with a JPEG file and a PNG file of its mask, sorted.

    Raises
    ------
    DataError
        If a folder is missing, there is no frame, or one lacks its image or its mask.
    """
    frames = stems(check_folder(f"images of {what}", images), ".jpg")
    with_mask = stems(check_folder(f"masks of {what}", masks), ".png")
    if not frames:
        raise DataError(f"{what} must have .jpg files in {images}, got none")
    unmasked, unpictured = set(frames) - set(with_mask), set(with_mask) - set(frames)
    check_paired(
        what, images, masks, unmasked=sorted(unmasked), unpictured=sorted(unpictured), hint=hint
    )
    return frames


def check_paired(
    what: str,
    images: Path,
    masks: Path,
    *,
    unmasked: Sequence[str],
    unpictured: Sequence[str],
    hint: str = "",
) -> None:
    """Refuse frames without a mask, and masks without a frame, as where a video ends early.

    Raises
    ------
    DataError
        If there are any, by name.
    """
    if unmasked:
        raise DataError(
            f"{what}: every frame must have a mask in {masks}, "
            f"got {len(unmasked)} without: {listed(unmasked)}{hint}"
        )
    if unpictured:
        raise DataError(
            f"{what}: every mask must have its frame in {images}, "
            f"got {len(unpictured)} without: {listed(unpictured)}"
        )


def read_indices(path: Path, what: str, modes: Collection[str]) -> UInt8[np.ndarray, "h w"]:
    """Values of a PNG mask as stored: of a palette file the indices, not the colours.

    Raises
    ------
    DataError
        If the file is damaged, or of another of Pillow's modes: colours are not object ids.
    """
    try:
        with Image.open(path) as image:
            if image.mode in modes:
                return np.asarray(image).astype(np.uint8)
            mode = image.mode
    except DECODER_ERRORS as error:
        raise DataError(f"{what}: {unreadable(path, 'PNG file', error)}") from error
    raise DataError(
        f"{what}: {path} must be a PNG file of mode {' or '.join(modes)} that holds ids, "
        f"got mode {mode}"
    )


def split_indices(
    indices: UInt8[np.ndarray, "h w"], ignored: Collection[int]
) -> tuple[tuple[int, str], ...]:
    """Ids and compressed RLE of the objects in an image of ids."""
    ids = [int(index) for index in np.unique(indices) if index not in ignored]
    return tuple((index, encode_rle(indices == index)) for index in ids)
