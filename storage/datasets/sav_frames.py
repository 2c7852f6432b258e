"""SA-V val and test: ``JPEGImages_24fps`` and ``Annotations_6fps``, one folder per object."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from storage.datasets.frame_folders import (
    check_folder,
    check_masked,
    check_pictured,
    read_indices,
    read_names,
    stems,
)
from storage.datasets.records import Annotated, ImageRecord, Part, Source
from storage.errors import DataError
from storage.rle import encode_rle

ANNOTATED_EVERY: Final = 4
"""Six of 24 frames a second are annotated."""

MODES: Final = ("1", "L", "P")
"""Any mode will do: whatever is not 0 is foreground."""


def list_sav_frames(source: Source) -> tuple[Part, ...]:
    """Videos of a list, ``sav_val.txt`` or ``sav_test.txt``, in its order.

    Raises
    ------
    DataError
        If the list, a folder, an image or a mask is missing, or an object has no mask.
    """
    assert source.list is not None  # storage.datasets.catalogue requires it
    for what, folder in (("images", source.images), ("annotations", source.annotations)):
        check_folder(f"SA-V: {what}", folder)
    videos = read_names("SA-V", source.list)
    for video in videos:
        check_folder(f"images of SA-V video {video}", source.images / video)
    return tuple(
        Part(f"SA-V video {video}", partial(_read, source, video), is_video=True)
        for video in videos
    )


def _read(source: Source, video: str) -> Iterator[Annotated]:
    what, folder = f"SA-V video {video}", source.images / video
    by_frame = _masks_by_frame(what, source.annotations / video)
    frames = stems(folder, ".jpg")
    due = [frame for frame in frames if frame.isdecimal() and int(frame) % ANNOTATED_EVERY == 0]
    lacking = [frame for frame in due if frame not in by_frame]
    check_masked(what, source.annotations / video, lacking)
    check_pictured(what, folder, sorted(set(by_frame) - set(frames)))
    for frame in source.frames.of(sorted(by_frame)):
        yield _annotated(what, f"{video}/{frame}.jpg", by_frame[frame])


def _masks_by_frame(what: str, folder: Path) -> dict[str, dict[int, Path]]:
    """Files of the masks by frame, then by object."""
    check_folder(f"masks of {what}", folder)
    objects = sorted(path for path in folder.iterdir() if path.is_dir())
    if not objects:
        raise DataError(f"{what} must have a folder per object in {folder}, got none")
    found: dict[str, dict[int, Path]] = {}
    names: dict[int, str] = {}
    for path in objects:
        if not path.name.isdecimal():
            raise DataError(f"{what}: folders of objects must be numbers, got {path}")
        twin = names.setdefault(int(path.name), path.name)
        if twin != path.name:
            raise DataError(
                f"{what}: folders of objects must have numbers of their own, "
                f"got {twin} and {path.name} in {folder}"
            )
        frames = stems(path, ".png")
        if not frames:
            raise DataError(f"{what}: object {path.name} must have masks in {path}, got none")
        for frame in frames:
            found.setdefault(frame, {})[int(path.name)] = path / f"{frame}.png"
    return found


def _annotated(what: str, file: str, paths: Mapping[int, Path]) -> Annotated:
    masks = {number: read_indices(path, what, MODES) > 0 for number, path in paths.items()}
    sizes = {mask.shape for mask in masks.values()}
    if len(sizes) > 1:
        raise DataError(f"{what}: masks of {file} must have one size, got {sorted(sizes)}")
    image = ImageRecord(file, *sizes.pop())
    return Annotated(image, tuple((number, encode_rle(mask)) for number, mask in masks.items()))
