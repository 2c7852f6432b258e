"""DAVIS 2017: ``JPEGImages/<resolution>``, ``Annotations/<resolution>``, ``ImageSets/2017``."""

from typing import Final

from storage.datasets.frame_folders import read_names
from storage.datasets.palette_videos import list_palette_videos
from storage.datasets.records import Part, Source

BACKGROUND: Final = 0
VOID: Final = 255
"""Pixels that are not judged, the ball in ``tennis`` for one: neither object nor background."""


def list_davis(source: Source) -> tuple[Part, ...]:
    """Videos of a list, ``ImageSets/2017/{train,val}.txt``, in its order.

    Raises
    ------
    DataError
        If the list, a folder, an image or a mask is missing, or a mask has no palette.
    """
    assert source.list is not None  # storage.datasets.catalogue requires it
    videos = read_names("DAVIS", source.list)
    return list_palette_videos("DAVIS", source, videos, ignored=(BACKGROUND, VOID))
