"""Reads video data sets that are folders of JPEG frames and folders of PNG masks.

A file or folder that is missing or faulty raises a ``DataError``.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from storage.datasets.object_records import Annotated, Medium, Source
from storage.errors import DataError, listed
from storage.folders import is_special
from storage.images.image_files import DECODER_ERRORS, open_image, unreadable
from storage.rle import encode_rle


def check_folder(label: str, folder: Path) -> Path:
    """Return ``folder`` if it exists; raise a DataError that names it by ``label`` if not."""
    if not folder.is_dir():
        raise DataError(f"{label} must be a folder, got none at {folder}")
    return folder


def list_videos(
    data_set: str,
    source: Source,
    videos: Collection[str],
    read_medium: Callable[[str, str], Iterator[Annotated]],
) -> tuple[Medium, ...]:
    """Make a ``Medium`` for each video, after a check of the folders of its frames.

    Parameters
    ----------
    data_set
        Name of the data set, for messages.
    videos
        Names of the videos.
    read_medium
        Reads the frames of a video; takes the video's label for messages, and its name.
    """
    check_videos(data_set, source, videos)
    labels = {f"{data_set} video {video}": video for video in videos}
    return tuple(Medium(label, partial(read_medium, label, name)) for label, name in labels.items())


def check_videos(data_set: str, source: Source, videos: Iterable[str]) -> None:
    """Raise a DataError for a split without its folders, or without a folder of a video's frames.

    Folders of masks of each video are not checked.
    """
    for label, folder in (("images", source.images), ("annotations", source.annotations)):
        check_folder(f"{data_set}: {label}", folder)
    for video in videos:
        check_folder(f"images of {data_set} video {video}", source.images / video)


def read_names(data_set: str, path: Path) -> list[str]:
    """Names of a split's videos, each once, from the file ``path`` with one name per line.

    Raises a DataError if the file is missing or not UTF-8, or names no video.
    """
    if is_special(path):
        raise DataError(f"{data_set}: {path} must be a list of videos, got: a pipe or a device")
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
    """Sorted names, without suffix, of the files in a folder that end in it and are not hidden."""
    paths = (path for path in folder.iterdir() if path.suffix == suffix)
    return sorted(path.stem for path in paths if not path.name.startswith("."))


def paired_stems(
    label: str, images: Path, masks: Path, hint: str = "", *, suffix: str = ".png"
) -> list[str]:
    """Sorted names of frames that each have a JPEG file in ``images`` and a file in ``masks``.

    The names of the files in ``masks`` end in ``suffix``.

    Raises a DataError if a folder is missing, there is no frame, or a frame lacks its image or its
    mask. ``label`` names the frames there; ``hint`` ends the message about frames without a mask.
    """
    frames = stems(check_folder(f"images of {label}", images), ".jpg")
    with_mask = stems(check_folder(f"masks of {label}", masks), suffix)
    if not frames:
        raise DataError(f"{label} must have .jpg files in {images}, got none")
    unmasked, unpictured = set(frames) - set(with_mask), set(with_mask) - set(frames)
    check_paired(
        label, images, masks, unmasked=sorted(unmasked), unpictured=sorted(unpictured), hint=hint
    )
    return frames


def check_paired(
    label: str,
    images: Path,
    masks: Path,
    *,
    unmasked: Sequence[str],
    unpictured: Sequence[str],
    hint: str = "",
) -> None:
    """Raise a DataError for frames without a mask and masks without a frame.

    A truncated video is a usual cause. The message lists the names; ``hint`` ends it for frames
    without a mask.
    """
    if unmasked:
        raise DataError(
            f"{label}: every frame must have a mask in {masks}, "
            f"got {len(unmasked)} without: {listed(unmasked)}{hint}"
        )
    if unpictured:
        raise DataError(
            f"{label}: every mask must have its image in {images}, "
            f"got {len(unpictured)} without: {listed(unpictured)}"
        )


def read_indices(path: Path, label: str, modes: Collection[str]) -> UInt8[np.ndarray, "h w"]:
    """Pixel values of a PNG mask as stored; a palette file gives indices, not colours.

    Raises a DataError that begins with ``label`` if the file is missing or damaged, or its Pillow
    mode is not in ``modes``: colours are not object ids.
    """
    if is_special(path):
        raise DataError(f"{label}: {path} must be a readable PNG file, got: a pipe or a device")
    try:
        with open_image(path) as image:
            if image.mode in modes:
                return np.asarray(image).astype(np.uint8)
            mode = image.mode
    except DECODER_ERRORS as error:
        raise DataError(f"{label}: {unreadable(path, 'PNG file', error)}") from error
    raise DataError(
        f"{label}: {path} must be a PNG file of mode {' or '.join(modes)} that holds ids, "
        f"got mode {mode}"
    )


def split_indices(
    indices: UInt8[np.ndarray, "h w"], ignored: Collection[int]
) -> tuple[tuple[int, str], ...]:
    """Id and compressed RLE of each object in an image of ids, ascending, but ``ignored`` ids."""
    ids = [int(index) for index in np.unique(indices) if index not in ignored]
    return tuple((index, encode_rle(indices == index)) for index in ids)
