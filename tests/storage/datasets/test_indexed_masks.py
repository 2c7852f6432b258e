"""The readers of DAVIS 2017 and MOSE: palette masks in folders of frames."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from storage.datasets.object_records import Source
from storage.datasets.readers import DATA_SETS
from storage.errors import DataError
from storage.rle import decode_rle
from tests.fixtures.layouts import (
    SIZE_PX,
    Place,
    draw_videos,
    write_davis,
    write_mose,
    write_palette,
)
from tests.fixtures.pipes import pipe_at
from tests.fixtures.read_split import read_place

VIDEOS = draw_videos(3, 2)

WRITERS = {"davis": write_davis, "mose": write_mose}


@pytest.fixture(params=WRITERS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Two videos in one of the layouts."""
    return WRITERS[request.param](tmp_path, VIDEOS)


def mask_path(place: Place, video: str = "video0", frame: int = 1) -> Path:
    return Path(place["annotations"]) / video / f"{frame:05d}.png"


def files(place: Place, **changes: object) -> list[str]:
    return [image.file for image in read_place(place, **changes).images]


def test_frames_are_cut_from_every_video(place: Place) -> None:
    first = files(place, frames=slice(0, 2, 1))
    assert first == [f"video{video}/0000{k}.jpg" for video in (0, 1) for k in (0, 1)]
    assert files(place, frames=slice(1, None, 2)) == ["video0/00001.jpg", "video1/00001.jpg"]


def test_listing_opens_no_mask_and_a_limit_no_later_video(place: Place) -> None:
    mask_path(place, "video1").write_bytes(b"no image")

    assert len(read_place(place, max_objects=2).objects) == 2
    parts = DATA_SETS[place["reader"]].list_media(
        Source(Path(place["images"]), Path(place["annotations"]), Path(place["list"]))
    )
    assert len(parts) == 2


def test_void_of_davis_is_never_an_object(tmp_path: Path) -> None:
    place = write_davis(tmp_path, VIDEOS)
    ids = VIDEOS["video0"][1].ids.copy()
    ids[:20] = 255
    write_palette(mask_path(place), ids)

    records = read_place(place, min_area_px=1)

    of_frame = [item for item in records.objects if item.image_index == 1]
    assert of_frame
    assert {item.object_id for item in of_frame} <= set(VIDEOS["video0"][1].masks)
    for item in of_frame:
        mask = decode_rle(item.mask_rle, SIZE_PX, SIZE_PX)
        assert not mask[:20].any()


def _as_rgb(place: Place) -> None:
    with Image.open(mask_path(place)) as image:
        image.convert("RGB").save(mask_path(place))


FAULTS: dict[str, tuple[Callable[[Place], object], str]] = {
    "images in another place": (
        lambda p: p.update(images="elsewhere"),
        "(DAVIS|MOSE): images must be a folder, got none at elsewhere",
    ),
    "no list": (
        lambda p: Path(p["list"]).unlink(),
        r"(val.txt|meta_train.json) must be .*list of videos.*, got",
    ),
    "video absent": (
        lambda p: shutil.rmtree(Path(p["images"]) / "video1"),
        "images of (DAVIS|MOSE) video video1 must be a folder, got none at .*video1",
    ),
    "frame without mask": (
        lambda p: mask_path(p).unlink(),
        "(DAVIS|MOSE) video video0: every frame must have a mask in .*, got 1 without: 00001",
    ),
    "palette saved as RGB": (
        _as_rgb,
        "(DAVIS|MOSE) video video0: .*00001.png must be a PNG file of mode P .* got mode RGB",
    ),
    "mask cut off": (
        lambda p: mask_path(p).write_bytes(mask_path(p).read_bytes()[:50]),
        "(DAVIS|MOSE) video video0: .*00001.png must be a readable PNG file, got: ",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_video_and_place(place: Place, fault: str) -> None:
    change, message = FAULTS[fault]
    change(place)

    with pytest.raises(DataError, match=message):
        read_place(place)


def test_a_video_that_ends_early_is_named(place: Place) -> None:
    frames = Path(place["images"]) / "video0"
    (frames / "00002.jpg").unlink()
    with pytest.raises(
        DataError,
        match=r"DAVIS video video0: every mask must have its image in .*, got 1 without: 00002"
        r"|MOSE video video0 must have 3 frames in .* as .*json says, got 2",
    ):
        read_place(place)


def test_first_masks_alone_are_those_of_another_split_of_mose(tmp_path: Path) -> None:
    place = write_mose(tmp_path, VIDEOS)
    for frame in (1, 2):
        mask_path(place, frame=frame).unlink()

    with pytest.raises(DataError, match=r"00001, 00002; split `valid` of MOSE has masks of first"):
        read_place(place)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff\xfe\x00\xd8", "val.txt must be a list of videos, got: 'utf-8' codec"),
        (b"\n", "val.txt must name videos, got none"),
    ],
)
def test_a_faulty_list_of_davis_is_refused(tmp_path: Path, text: bytes, message: str) -> None:
    place = write_davis(tmp_path, VIDEOS)
    Path(place["list"]).write_bytes(text)

    with pytest.raises(DataError, match=message):
        read_place(place)


def test_a_pipe_in_place_of_a_list_is_refused_not_waited_for(tmp_path: Path) -> None:
    place = write_davis(tmp_path, VIDEOS)
    message = r"val.txt must be a list of videos, got: a pipe or a device"
    with pipe_at(Path(place["list"])), pytest.raises(DataError, match=message):
        read_place(place)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"video": {}}, "meta_train.json must have a key 'videos', got \\['video'\\]"),
        ({"videos": {"video0": {}}}, "video video0 of .* must have a key 'length', got none"),
    ],
)
def test_a_faulty_list_of_mose_is_refused(tmp_path: Path, content: object, message: str) -> None:
    place = write_mose(tmp_path, VIDEOS)
    Path(place["list"]).write_text(json.dumps(content))

    with pytest.raises(DataError, match=message):
        read_place(place)


def test_a_video_without_frames_is_named(tmp_path: Path) -> None:
    place = write_davis(tmp_path, VIDEOS)
    for path in (Path(place["images"]) / "video0").iterdir():
        path.unlink()

    with pytest.raises(DataError, match=r"DAVIS video video0 must have .jpg files in .*, got none"):
        read_place(place)
