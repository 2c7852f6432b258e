"""The reader ``bsds500``: connected segments of several annotators."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from scipy.io import savemat

from storage.datasets.bsds500 import IDS_PER_ANNOTATOR, SHARES
from storage.datasets.object_records import SplitRecords
from storage.errors import DataError
from storage.rle import decode_rle
from tests.fixtures.bsds500 import (
    HEIGHT_PX,
    WIDTH_PX,
    quarters,
    speckled,
    truth_of,
    write_bsds500,
)
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.layouts import Place
from tests.fixtures.pipes import pipe_at
from tests.fixtures.read_split import read_place

PHOTOGRAPHS: Final = ROOT.parent / "shared" / "samples" / "bsds500"


def masks_of(records: SplitRecords) -> list[np.ndarray]:
    return [decode_rle(item.mask_rle, HEIGHT_PX, WIDTH_PX) for item in records.objects]


def test_an_object_is_a_connected_segment_of_one_annotator(tmp_path: Path) -> None:
    records = read_place(write_bsds500(tmp_path, [[quarters(), speckled()], [quarters()]]))

    assert [(item.image_index, item.annotator) for item in records.objects] == [
        *[(0, 0)] * 4,
        (0, 1),
        *[(1, 0)] * 4,
    ]
    masks = masks_of(records)
    np.testing.assert_array_equal(sum(mask.astype(int) for mask in masks[:4]), 1)
    corners = [(0, 0), (30, 40), (0, 40), (30, 0)]
    for mask, (y, x) in zip(masks, corners, strict=False):
        assert mask.sum() == mask[y : y + 30, x : x + 40].sum() == 1200
    np.testing.assert_array_equal(masks[4], speckled() == 9)
    assert 14 / (HEIGHT_PX * WIDTH_PX) < SHARES[0] < 15 / (HEIGHT_PX * WIDTH_PX)


def test_an_id_tells_the_annotator_and_the_first_pixel(tmp_path: Path) -> None:
    records = read_place(write_bsds500(tmp_path, [[quarters(), speckled()]]))

    ids = [item.object_id for item in records.objects]
    first = [(0, 0), (30, 40), (0, 40), (30, 0)]
    assert ids[:4] == [y * WIDTH_PX + x for y, x in first]
    assert ids[4] == IDS_PER_ANNOTATOR + 9 * WIDTH_PX + 10


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


def _write(**arrays: Any) -> Callable[[Path], None]:  # noqa: ANN401 - what MATLAB can hold
    return lambda path: savemat(path, arrays)


MATLAB_73: Final = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(384)

FAULTS: Final[dict[str, tuple[Callable[[Path], object], str]]] = {
    "text": (lambda path: path.write_text("not of MATLAB"), "must be a MATLAB file of version 4"),
    "cut short": (_cut, "must be a MATLAB file of version 4"),
    "MATLAB 7.3": (lambda path: path.write_bytes(MATLAB_73), "4 to 7.2 with groundTruth, got: .*"),
    "no truth": (_write(other=1), "with groundTruth, got: 'groundTruth'"),
    "no struct": (_write(groundTruth=np.ones((2, 2))), "with groundTruth, got: "),
    "no annotator": (
        _write(groundTruth=np.empty((1, 0), object)),
        "an annotator or more, got none",
    ),
    "sizes that differ": (
        _write(groundTruth=truth_of([quarters(), quarters()[1:]])),
        r"of one type and size, got uint16 \(59, 80\); uint16 \(60, 80\)",
    ),
    "fractions": (_write(groundTruth=truth_of([quarters() / 2])), r"got float64 \(60, 80\)"),
    "colours": (
        _write(groundTruth=truth_of([np.ones((4, 4, 3), np.uint16)])),
        r"rows by columns, .*, got uint16 \(4, 4, 3\)",
    ),
    "missing": (Path.unlink, "every frame must have a mask in .*, got 1 without: 00"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_odd_file_is_named_with_the_rule(fault: str, tmp_path: Path) -> None:
    place = write_bsds500(tmp_path, [[quarters()], [quarters()]])
    spoil, message = FAULTS[fault]
    spoil(Path(place["annotations"]) / "00.mat")
    with pytest.raises(DataError, match=message) as raised:
        read_place(place)
    assert "\n" not in str(raised.value)
    assert "BSDS500" in str(raised.value)


def test_a_pipe_in_place_of_a_file_is_refused_not_waited_for(tmp_path: Path) -> None:
    place = write_bsds500(tmp_path, [[quarters()]])
    message = "got: a pipe or a device"
    with pipe_at(Path(place["annotations"]) / "00.mat"), pytest.raises(DataError, match=message):
        read_place(place)


def test_a_damaged_file_is_an_error_of_data_or_is_read(tmp_path: Path) -> None:
    place = write_bsds500(tmp_path, [[quarters()]])
    path = Path(place["annotations"]) / "00.mat"
    content, rng = path.read_bytes(), np.random.default_rng(0)
    n_refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        damaged[rng.integers(len(damaged))] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read_place(place)
        except DataError:
            n_refused += 1
    assert n_refused > 30


@pytest.mark.skipif(not PHOTOGRAPHS.exists(), reason="needs the BSDS500 samples")
def test_photographs_are_read_as_published(tmp_path: Path) -> None:
    place: Place = {"reader": "bsds500"}
    for key, folder, suffix in (
        ("images", "images/val", ".jpg"),
        ("annotations", "groundTruth/val", ".mat"),
    ):
        (tmp_path / key).mkdir()
        for path in sorted((PHOTOGRAPHS / folder).glob(f"*{suffix}"))[:3]:
            (tmp_path / key / path.name).symlink_to(path)
        place[key] = str(tmp_path / key)
    records = read_place(place)
    assert [image.file for image in records.images] == ["101085.jpg", "101087.jpg", "102061.jpg"]
    for item in records.objects:
        image = records.images[item.image_index]
        mask = decode_rle(item.mask_rle, image.height_px, image.width_px)
        assert SHARES[0] <= mask.mean() <= SHARES[1]
    of_first = {item.annotator for item in records.objects if item.image_index == 0}
    assert of_first == {0, 1, 2, 3, 4}
