"""The reader of SA-V train: videos beside two files of masklets."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage.datasets.object_records import Masklets, Source
from storage.datasets.readers import DATA_SETS
from storage.errors import DataError
from storage.rle import area_rle
from tests.fixtures.layouts import SIZE_PX, Place, draw_videos, masklets, write_sav_videos
from tests.fixtures.read_split import read_place, read_split

SAMPLES = Path(__file__).parents[4] / "shared" / "samples" / "SA-V" / "sav_train"

VIDEOS = draw_videos(3, 1)

Json = dict[str, Any]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A video of nine frames, three of them annotated, and one of one."""
    return write_sav_videos(tmp_path, VIDEOS)


def json_path(place: Place, kind: str = "manual", video: str = "video0") -> Path:
    return Path(place["annotations"]) / "sav_000" / f"{video}_{kind}.json"


def change(place: Place, **changes: object) -> None:
    content = json.loads(json_path(place).read_text())
    json_path(place).write_text(json.dumps(content | changes))


def add_auto(place: Place) -> Json:
    """Automatic masklets of the first video: the manual ones, their ids counted from 0."""
    content = masklets("video0", VIDEOS["video0"])
    content["masklet_id"] = list(range(len(content["masklet_id"])))
    json_path(place, "auto").write_text(json.dumps(content))
    return content


def test_masklets_may_be_numbered_by_floats(place: Place) -> None:
    as_ints = read_place(place, min_area_px=1)
    content = json.loads(json_path(place).read_text())
    change(place, masklet_id=[float(number) for number in content["masklet_id"]])

    assert read_place(place, min_area_px=1) == as_ints


def test_listing_reads_no_masklets_and_a_limit_only_those_that_it_takes(place: Place) -> None:
    first = read_place(place, max_objects=1).images[0].file
    json_path(place, video="video0" if "video1" in first else "video1").write_text("{")

    folder = Path(place["images"])
    source = Source(folder, folder, masklets="manual")
    assert len(DATA_SETS["sav_videos"].list_media(source)) == 2
    assert len(read_place(place, max_objects=2).objects) == 2


def test_frames_count_those_that_are_annotated(place: Place) -> None:
    files = [image.file for image in read_place(place, frames=slice(0, 3, 2)).images]

    assert files == [f"sav_000/video{k}.mp4#{n:05d}" for k, n in ((0, 0), (0, 8), (1, 0))]


@pytest.mark.parametrize(
    ("kind", "first_ids", "n_images", "n_without"),
    [("manual", [1], 4, 0), ("auto", [1_000_000], 3, 1), ("both", [1, 1_000_000], 4, 1)],
)
def test_the_ids_of_both_files_differ_and_videos_without_automatic_ones_are_counted(
    place: Place, kind: Masklets, first_ids: list[int], n_images: int, n_without: int
) -> None:
    add_auto(place)

    records = read_place(place, masklets=kind)

    ids = [item.object_id for item in records.objects if item.image_index == 0]
    assert [number for number in first_ids if number in ids] == first_ids
    assert len(set(ids)) == len(ids)
    # The other video has no automatic ones.
    assert len(records.images) == n_images
    assert records.n_without_auto == n_without


@pytest.mark.parametrize("kind", ["auto", "both"])
def test_automatic_masklets_that_no_video_has_are_refused(place: Place, kind: Masklets) -> None:
    message = f"SA-V: masklets must be manual where no video .*auto.json in .*, got {kind}"
    with pytest.raises(DataError, match=message):
        read_place(place, masklets=kind)


def test_a_subset_is_read_alone_and_once(place: Place) -> None:
    folder = Path(place["images"])
    (folder / "sav_000").rename(folder / "sav_055")
    (folder / "sav_001").mkdir()
    (folder / "sav_001" / "video9.mp4").touch()

    alone = read_place(place, subsets=("sav_055",))

    assert {image.file.split("/")[0] for image in alone.images} == {"sav_055"}
    assert read_place(place, subsets=("sav_055", "sav_055/")) == alone, "each once"


def _of_another_size(place: Place) -> None:
    content = add_auto(place) | {"video_height": 2.0 * SIZE_PX}
    json_path(place, "auto").write_text(json.dumps(content))
    place["masklets"] = "both"


FAULTS: dict[str, tuple[Callable[[Place], object], str]] = {
    "no videos": (
        lambda p: p.update(images=f"{p['images']}/sav_000"),
        "SA-V: .*sav_000 must hold videos <subset>/<video>.mp4, got none",
    ),
    "subset absent": (
        lambda p: p.update(subsets=("sav_000", "sav_017")),
        "subset sav_017 of SA-V must be a folder, got none at .*sav_017",
    ),
    "no manual masklets": (
        lambda p: json_path(p).unlink(),
        "video0_manual.json must be the manual masklets of SA-V video video0, got no such file",
    ),
    "frames missing": (
        lambda p: change(p, video_frame_count=10.0 + 3),
        "SA-V video video0: .*json: masklet must have 4 frames, every 4th of 13, got 3",
    ),
    "no masklets": (
        lambda p: change(p, masklet_id=[], masklet=[[], [], []]),
        r"SA-V video video0: .*json: masklet_id must hold numbers, each once, got \[\]",
    ),
    "frames without a masklet": (
        lambda p: change(p, masklet=[[], None, []]),
        r"json: frame 0 must have a mask of each of \d masklets, got 0",
    ),
    "files of two sizes": (
        _of_another_size,
        "SA-V video video0: manual and automatic masklets must have one size and number of frames",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_video_and_place(place: Place, fault: str) -> None:
    break_it, message = FAULTS[fault]
    break_it(place)

    with pytest.raises(DataError, match=message):
        read_place(place)


@pytest.mark.no_cover
@pytest.mark.skipif(not SAMPLES.exists(), reason="needs ../shared/samples")
def test_real_masklets_are_read_whole(tmp_path: Path) -> None:
    """Five manual ones and nine automatic ones."""
    (tmp_path / "sav_000").mkdir()
    (tmp_path / "sav_000" / "sav_000001.mp4").touch()  # the sample has no video
    source = Source(tmp_path, SAMPLES, masklets="both")

    (medium,) = DATA_SETS["sav_videos"].list_media(source)
    frames = list(medium.read_annotated())

    assert [frame.image.file for frame in frames] == [
        f"sav_000/sav_000001.mp4#{4 * k:05d}" for k in range(121)
    ]
    assert {len(frame.masks) for frame in frames} == {14}
    assert {(frame.image.height_px, frame.image.width_px) for frame in frames} == {(848, 480)}
    with_pixels = [rle for frame in frames for _, rle in frame.masks if area_rle(rle) >= 10]
    records = read_split("sav_videos", tmp_path, SAMPLES, masklets="both")
    assert [item.mask_rle for item in records.objects] == with_pixels
    assert len(records.objects) + records.n_small == 121 * 14
