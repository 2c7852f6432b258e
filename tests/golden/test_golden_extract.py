"""Features and masks change under a new version of ``extract`` or other weights only.

DVC sees no other change.
"""

from pathlib import Path

import numpy as np
import pytest

from tests.golden import make_extract
from tests.golden.make_extract import (
    CELLS,
    GOLDEN,
    INPUTS,
    current_origin,
    differences,
    extract_cells,
    is_of,
    read_golden,
)

COMMAND = "python -m tests.golden.make_extract"

MOST_BYTES = 300_000


def test_features_and_masks_are_those_of_their_version() -> None:
    golden, origin = read_golden(), current_origin()
    assert is_of(golden, origin), f"{GOLDEN.name} is of another version or weights: run `{COMMAND}`"
    found = extract_cells(golden)
    changed = "\n".join(differences(golden, found))
    assert not changed, (
        "features or masks have changed: raise extract in versions.yaml and in "
        f"stages/shell/versions.py, then run `{COMMAND}`\n{changed}"
    )
    assert golden.keys() == {*found, *INPUTS, *origin}
    assert GOLDEN.stat().st_size < MOST_BYTES


@pytest.mark.parametrize(
    ("array", "change"),
    [
        ("sam_score", 1e-3),
        ("object_score", -1e-3),
        ("iou", 5e-3),
        ("iou_token", 1e-2),
        ("mask_token", 1e-2),
        ("area", 1e-3),
        ("mask_entropy", -1e-3),
        ("confidence", 1e-3),
        ("agreement", 1e-3),
        ("iou", np.nan),
    ],
)
def test_one_number_that_is_off_is_seen(array: str, change: float) -> None:
    golden = read_golden()
    for model, view in CELLS:
        name = f"{model}/{view}/{array}"
        assert not list(differences(golden, {name: golden[name]}))
        values = golden[name].copy()
        values[-1, 1] += change
        (line,) = differences(golden, {name: values})
        assert line.startswith(f"{name}: off by ")


def test_masks_that_are_flipped_or_of_another_size_are_seen() -> None:
    golden = read_golden()
    name = "tiny/vflip/mask_code"
    (line,) = differences(golden, {name: golden[name][..., ::-1, :]})
    assert line.endswith("of the pixels are off by more than 1 code")
    (line,) = differences(golden, {name: golden[name][..., ::2, :]})
    assert line == f"{name}: shape (3, 3, 64, 64) -> (3, 3, 32, 64)"


@pytest.fixture
def other_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the file, and a stage that says something else."""
    path = tmp_path / "extract.npz"
    path.write_bytes(GOLDEN.read_bytes())
    found = {name: values for name, values in read_golden().items() if "/" in name}
    found["large/jpeg10/iou"] = found["large/jpeg10/iou"] / 2
    monkeypatch.setattr(make_extract, "GOLDEN", path)
    monkeypatch.setattr(make_extract, "extract_cells", lambda *_: found)
    return path


def test_other_numbers_are_not_written_under_the_same_version(other_numbers: Path) -> None:
    with pytest.raises(SystemExit, match=r"must be raised: large/jpeg10/iou: off by 0\.\d"):
        make_extract.main()
    assert other_numbers.read_bytes() == GOLDEN.read_bytes()


@pytest.mark.parametrize("name", ["version", "weights_tiny", "weights_large"])
def test_other_numbers_of_another_origin_are_written_with_the_same_inputs(
    name: str, other_numbers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = read_golden()
    monkeypatch.setattr(make_extract, "current_origin", lambda: {**current_origin(), name: "new"})
    make_extract.main()
    with np.load(other_numbers) as written:
        assert written[name] == "new"
        for same in {*INPUTS, *current_origin()} - {name}:
            np.testing.assert_array_equal(written[same], former[same])
