"""MOSE: ``train/JPEGImages``, ``train/Annotations`` and the lengths in ``meta_train.json``."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from storage.datasets.frame_folders import stems
from storage.datasets.json_values import count, load_json, value
from storage.datasets.palette_videos import list_palette_videos
from storage.datasets.records import Annotated, Part, Source
from storage.errors import DataError

BACKGROUND: Final = 0

HINT: Final = "; split `valid` of MOSE has masks of first frames only: use `train`"


def list_mose(source: Source) -> tuple[Part, ...]:
    """Videos of ``meta_train.json``, in its order.

    Raises
    ------
    DataError
        If the file, a folder, an image or a mask is missing, a mask has no palette, or a video
        has another length than the file says.
    """
    assert source.list is not None  # storage.datasets.catalogue requires it
    content = load_json(source.list, "MOSE's list of videos, meta_train.json")
    videos = value(content, "videos", (dict,), str(source.list))
    lengths = {
        video: count(item, "length", f"video {video} of {source.list}")
        for video, item in videos.items()
    }
    parts = list_palette_videos("MOSE", source, lengths, ignored=(BACKGROUND,), hint=HINT)
    return tuple(
        replace(part, read=partial(_read, part, source, video, length))
        for part, (video, length) in zip(parts, lengths.items(), strict=True)
    )


def _read(part: Part, source: Source, video: str, length: int) -> Iterator[Annotated]:
    folder = source.images / video
    n_frames = len(stems(folder, ".jpg"))
    if n_frames != length:
        raise DataError(
            f"{part.name} must have {length} frames in {folder} as {source.list} says, "
            f"got {n_frames}"
        )
    yield from part.read()
