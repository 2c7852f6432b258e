"""Videos whose frames are JPEG files and whose masks are palette PNG files: DAVIS and MOSE."""

from collections.abc import Collection, Iterator
from functools import partial
from typing import Final

from storage.datasets.frame_folders import check_folder, paired_stems, read_indices, split_indices
from storage.datasets.records import Annotated, ImageRecord, Part, Source

PALETTE_MODES: Final = ("P",)
"""A gray file may hold ids, or the brightness of the palette's colours: nothing tells which."""


def list_palette_videos(
    data_set: str,
    source: Source,
    videos: Collection[str],
    *,
    ignored: Collection[int],
    hint: str = "",
) -> tuple[Part, ...]:
    """One part per video.

    Parameters
    ----------
    ignored
        Values in the masks that are not objects.
    hint
        Ends the message about frames without a mask.

    Raises
    ------
    DataError
        If a folder of the split or of a video is missing.
    """
    for what, folder in (("images", source.images), ("annotations", source.annotations)):
        check_folder(f"{data_set}: {what}", folder)
    for video in videos:
        check_folder(f"images of {data_set} video {video}", source.images / video)
    return tuple(
        Part(
            f"{data_set} video {video}",
            partial(_read, f"{data_set} video {video}", source, video, ignored, hint),
            is_video=True,
        )
        for video in videos
    )


def _read(
    what: str, source: Source, video: str, ignored: Collection[int], hint: str
) -> Iterator[Annotated]:
    masks = source.annotations / video
    for frame in source.frames.of(paired_stems(what, source.images / video, masks, hint)):
        indices = read_indices(masks / f"{frame}.png", what, PALETTE_MODES)
        image = ImageRecord(f"{video}/{frame}.jpg", *indices.shape)
        yield Annotated(image, split_indices(indices, ignored))
