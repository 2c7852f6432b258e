"""Reads SA-V: videos with JSON masklets (train), frames with a PNG mask per object (val, test)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

from storage.datasets import frame_folders
from storage.datasets.json_values import count, load_json, parse_rle, value
from storage.datasets.object_records import Annotated, ImageRecord, Medium, Source, check_pixels
from storage.errors import DataError, shown
from storage.images.videos import frame_file
from storage.rle import encode_rle

ANNOTATED_EVERY: Final = 4
"""Every fourth frame is annotated: six of 24 frames per second."""

FIRST_ID: Final[Mapping[str, int]] = {"manual": 0, "auto": 1_000_000}
"""Number added to ``masklet_id`` by kind of masklets: ids in both files of a video start at 0."""


@dataclass(frozen=True)
class _Masklets:
    """The masklets (masks of one object over a video) in one JSON file."""

    label: str
    """Name of the video and the file, for messages."""
    height_px: int
    width_px: int
    first_id: int
    ids: tuple[int, ...]
    """``masklet_id`` as in the file; ``first_id`` is not added."""
    masks: tuple[Any, ...]
    """JSON masks, not yet checked, by annotated frame, then by masklet."""


def list_sav_videos(source: Source) -> tuple[Medium, ...]:
    """List the videos of SA-V train by subset and name; annotations are read on demand.

    Some videos of the data set have no automatic masklets. For such a video, ``both`` reads the
    manual masklets alone, ``auto`` reads no masklet, and ``Medium.lacks_auto`` is true. Raises a
    DataError if a folder is missing, there is no video, or settings ask for automatic masklets and
    no video of the split has any. Reading a video raises it if a file of masklets that the
    settings ask for is missing or not of this layout.
    """
    frame_folders.check_videos("SA-V", source, ())
    for subset in source.subsets or ():
        frame_folders.check_folder(f"subset {subset} of SA-V", source.images / subset)
    subsets = source.subsets or ("*",)
    videos = sorted({path for subset in subsets for path in source.images.glob(f"{subset}/*.mp4")})
    if not videos:
        raise DataError(f"SA-V: {source.images} must hold videos <subset>/<video>.mp4, got none")
    files = [PurePosixPath(path.relative_to(source.images).as_posix()) for path in videos]
    without_auto = _without_auto(source, files)
    return tuple(
        Medium(
            f"SA-V video {file.stem}",
            partial(_read_video, source, file),
            lacks_auto=file in without_auto,
        )
        for file in files
    )


def _without_auto(source: Source, videos: list[PurePosixPath]) -> frozenset[PurePosixPath]:
    """Videos that lack automatic masklets; none if settings ask for manual masklets alone.

    Raises a DataError if settings ask for automatic masklets, and no video has any.
    """
    if source.masklets == "manual":
        return frozenset()
    lacking = frozenset(video for video in videos if not _path(source, video, "auto").exists())
    if len(lacking) == len(videos):
        raise DataError(
            f"SA-V: masklets must be manual where no video has an _auto.json in "
            f"{source.annotations}, got {source.masklets}"
        )
    return lacking


def _read_video(source: Source, video: PurePosixPath) -> Iterator[Annotated]:
    files = list(_files(source, video))
    if len({(m.height_px, m.width_px, len(m.masks)) for m in files}) > 1:
        raise DataError(
            f"SA-V video {video.stem}: manual and automatic masklets must have one size and number "
            f"of frames, got {[(m.height_px, m.width_px, len(m.masks)) for m in files]}"
        )
    for frame in range(len(files[0].masks) if files else 0)[source.frames]:
        number = ANNOTATED_EVERY * frame
        file = frame_file(str(video), number)
        masks = tuple(mask for masklets in files for mask in _masks(masklets, frame))
        yield Annotated(ImageRecord(file, files[0].height_px, files[0].width_px), masks)


def _files(source: Source, video: PurePosixPath) -> Iterator[_Masklets]:
    kinds = ("manual", "auto") if source.masklets == "both" else (source.masklets,)
    for kind in kinds:
        path = _path(source, video, kind)
        if kind == "manual" or path.exists():
            yield _parse(path, f"SA-V video {video.stem}", kind)


def _path(source: Source, video: PurePosixPath, kind: str) -> Path:
    return source.annotations / video.with_name(f"{video.stem}_{kind}.json")


def _parse(path: Path, video: str, kind: str) -> _Masklets:
    label = f"{video}: {path}"
    content = load_json(path, f"the {kind} masklets of {video}")
    sides = [
        count(content, key, label) for key in ("video_height", "video_width", "video_frame_count")
    ]
    check_pixels(label, *sides[:2])
    # The files write numbers as floats, ids included.
    ids: list[Any] = [_whole(number) for number in value(content, "masklet_id", (list,), label)]
    masks = value(content, "masklet", (list,), label)
    if not ids or not all(type(number) is int for number in ids) or len(set(ids)) < len(ids):
        raise DataError(f"{label}: masklet_id must hold numbers, each once, got {shown(ids)}")
    n_frames = -(-sides[2] // ANNOTATED_EVERY)
    if len(masks) != n_frames:
        raise DataError(
            f"{label}: masklet must have {n_frames} frames, every {ANNOTATED_EVERY}th of "
            f"{sides[2]}, got {len(masks)}"
        )
    return _Masklets(label, sides[0], sides[1], FIRST_ID[kind], tuple(ids), tuple(masks))


def _whole(number: object) -> object:
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _masks(masklets: _Masklets, frame: int) -> Iterator[tuple[int, str]]:
    masks = masklets.masks[frame]
    if not isinstance(masks, list) or len(masks) != len(masklets.ids):
        raise DataError(
            f"{masklets.label}: frame {ANNOTATED_EVERY * frame} must have a mask of each of "
            f"{len(masklets.ids)} masklets, got "
            f"{len(masks) if isinstance(masks, list) else shown(masks)}"
        )
    for number, mask in zip(masklets.ids, masks, strict=True):
        try:
            rle = parse_rle(mask, masklets.height_px, masklets.width_px)
        except DataError as error:
            raise DataError(
                f"{masklets.label}: masklet {number} on frame {ANNOTATED_EVERY * frame}: {error}"
            ) from error
        yield masklets.first_id + number, rle


MODES: Final = ("1", "L", "P")
"""Pillow's modes of a PNG mask; in each mode, every value but 0 is foreground."""


def list_sav_frames(source: Source) -> tuple[Medium, ...]:
    """List the videos of SA-V val or test in the order of ``sav_val.txt`` or ``sav_test.txt``.

    Raises a DataError if the list or a folder of images is missing. Reading a video raises it if an
    image or a mask is missing or cannot be read, an object has no mask, or masks differ in size.
    """
    assert source.list is not None  # storage.datasets.readers requires a list
    videos = frame_folders.read_names("SA-V", source.list)
    return frame_folders.list_videos("SA-V", source, videos, partial(_read_frames, source=source))


def _read_frames(label: str, video: str, *, source: Source) -> Iterator[Annotated]:
    folder, masks = source.images / video, source.annotations / video
    by_frame = _masks_by_frame(label, masks)
    frames = frame_folders.stems(folder, ".jpg")
    annotated = [
        frame for frame in frames if frame.isdecimal() and int(frame) % ANNOTATED_EVERY == 0
    ]
    unmasked = [frame for frame in annotated if frame not in by_frame]
    unpictured = sorted(set(by_frame) - set(frames))
    frame_folders.check_paired(label, folder, masks, unmasked=unmasked, unpictured=unpictured)
    for frame in sorted(by_frame)[source.frames]:
        yield _annotated(label, f"{video}/{frame}.jpg", by_frame[frame])


def _masks_by_frame(label: str, folder: Path) -> dict[str, dict[int, Path]]:
    """Find the mask files of a video, which are ``<object id>/<frame>.png`` below ``folder``.

    They are returned by frame name, then by object id. Raises a DataError if the folder is missing,
    or an object's folder is not named by a number or has no mask.
    """
    frame_folders.check_folder(f"masks of {label}", folder)
    by_frame: dict[str, dict[int, Path]] = {}
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        if not path.name.isdecimal():
            raise DataError(f"{label}: folders of objects must be numbers, got {path}")
        frames = frame_folders.stems(path, ".png")
        if not frames:
            raise DataError(f"{label}: object {path.name} must have masks in {path}, got none")
        for frame in frames:
            by_frame.setdefault(frame, {})[int(path.name)] = path / f"{frame}.png"
    return by_frame


def _annotated(label: str, file: str, paths: Mapping[int, Path]) -> Annotated:
    masks = {
        number: frame_folders.read_indices(path, label, MODES) > 0 for number, path in paths.items()
    }
    sizes = {mask.shape for mask in masks.values()}
    if len(sizes) > 1:
        raise DataError(f"{label}: masks of {file} must have one size, got {sorted(sizes)}")
    image = ImageRecord(file, *sizes.pop())
    return Annotated(image, tuple((number, encode_rle(mask)) for number, mask in masks.items()))
