"""Groups of objects that are alike: those of one image, or of one video."""

from pathlib import PurePosixPath
from typing import Final

import numpy as np
from jaxtyping import Int

from storage.errors import StoreError
from storage.images.videos import video_of
from storage.split.objects import ObjectTable

GROUPS: Final = ("image", "video")
"""Values of ``group`` in the signature of an objects store."""


def group_index(table: ObjectTable) -> Int[np.ndarray, " object"]:
    """Number of each object's video, or of its image where images are not frames.

    Returns
    -------
    From 0, rising in the order of the rows.

    Raises
    ------
    StoreError
        If the signature names none of ``GROUPS``.

    Notes
    -----
    The frames of a video are as alike as the objects of an image: resamples and held-out parts
    draw groups, never rows.
    """
    images, place = np.unique(table.image_index, return_inverse=True)
    files = [str(table.file[image]) for image in images]
    names = [_video(file) for file in files] if _is_video(table) else files
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], np.int64)[place]


def _is_video(table: ObjectTable) -> bool:
    group = table.signature.get("group", "none")
    if group not in GROUPS:
        raise StoreError(
            f"group of objects must be one of {', '.join(GROUPS)}, got {group}: prepare them again"
        )
    return group == "video"


def _video(file: str) -> str:
    """The video's file, or the folder of its frames."""
    return video_of(file) or str(PurePosixPath(file).parent)
