"""Data sets whose masks are PNG files of object ids: ADE20K, DAVIS 2017 and MOSE.

A file or folder that is missing or faulty raises a ``DataError``: the folders when a data set is
listed, the files when a medium is read.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Final

from storage.datasets import frame_folders
from storage.datasets.json_values import count, load_json, value
from storage.datasets.object_records import Annotated, ImageRecord, Medium, Source
from storage.errors import DataError

PALETTE_MODES: Final = ("P",)
"""Pillow modes of masks of videos. A gray file is refused: whether its values are object ids or
brightness of the palette's colours, the file does not say."""

BACKGROUND_ID: Final = 0
"""Id of the background in DAVIS and MOSE, and of pixels without a class in ADE20K."""

VOID: Final = 255
"""Id in DAVIS of pixels that its evaluation ignores, such as the ball in ``tennis``."""

N_CLASSES: Final = 150
"""Number of classes in ADE20K; ids of classes are 1 to 150."""

FIRST_FRAMES: Final = "; split `valid` of MOSE has masks of first frames only: use `train`"


def list_ade20k(source: Source) -> tuple[Medium, ...]:
    """List the images of ADE20K, the challenge's version, sorted by name.

    All pixels of a class are one object, whose id is the class, as in UncertainSAM's own code.
    Every image must have an annotation file.
    """
    names = frame_folders.paired_stems("ADE20K", source.images, source.annotations)
    return tuple(
        Medium(f"ADE20K image {name}", partial(_read_classes, source, name)) for name in names
    )


def _read_classes(source: Source, name: str) -> Iterator[Annotated]:
    label, path = f"ADE20K image {name}", source.annotations / f"{name}.png"
    classes = frame_folders.read_indices(path, label, ("L",))
    if classes.max() > N_CLASSES:
        raise DataError(f"{label}: {path} must hold classes 0 to {N_CLASSES}, got {classes.max()}")
    image = ImageRecord(f"{name}.jpg", *classes.shape)
    yield Annotated(image, frame_folders.split_indices(classes, (BACKGROUND_ID,)))


def list_davis(source: Source) -> tuple[Medium, ...]:
    """List the videos of DAVIS 2017 in the order of ``ImageSets/2017/{train,val}.txt``.

    Reading a video refuses an image without a mask, and a mask without a palette.
    """
    assert source.list is not None  # storage.datasets.readers requires a list
    videos = frame_folders.read_names("DAVIS", source.list)
    read_video = partial(_read_video, source=source, ignored=(BACKGROUND_ID, VOID))
    return frame_folders.list_videos("DAVIS", source, videos, read_video)


def list_mose(source: Source) -> tuple[Medium, ...]:
    """List the videos of MOSE in the order of ``meta_train.json``.

    Reading a video refuses what ``list_davis`` refuses, and another number of frames than that of
    the JSON file.
    """
    assert source.list is not None  # storage.datasets.readers requires a list
    content = load_json(source.list, "MOSE's list of videos, meta_train.json")
    videos = value(content, "videos", (dict,), str(source.list))
    lengths = {
        video: count(item, "length", f"video {video} of {source.list}")
        for video, item in videos.items()
    }
    read_video = partial(_read_mose, source=source, lengths=lengths)
    return frame_folders.list_videos("MOSE", source, lengths, read_video)


def _read_mose(
    label: str, video: str, *, source: Source, lengths: Mapping[str, int]
) -> Iterator[Annotated]:
    folder = source.images / video
    n_frames = len(frame_folders.stems(folder, ".jpg"))
    if n_frames != lengths[video]:
        raise DataError(
            f"{label} must have {lengths[video]} frames in {folder} as {source.list} says, "
            f"got {n_frames}"
        )
    yield from _read_video(label, video, source=source, ignored=(BACKGROUND_ID,), hint=FIRST_FRAMES)


def _read_video(
    label: str, video: str, *, source: Source, ignored: Collection[int], hint: str = ""
) -> Iterator[Annotated]:
    masks = source.annotations / video
    frames = frame_folders.paired_stems(label, source.images / video, masks, hint)
    for frame in frames[source.frames]:
        indices = frame_folders.read_indices(masks / f"{frame}.png", label, PALETTE_MODES)
        image = ImageRecord(f"{video}/{frame}.jpg", *indices.shape)
        yield Annotated(image, frame_folders.split_indices(indices, ignored))
