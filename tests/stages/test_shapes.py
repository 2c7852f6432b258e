"""Stage ``shapes``: the data set it leaves on disk."""

import hashlib
from pathlib import Path

import pytest

from stages import shapes
from storage.paths import SHAPES
from tests.fixtures.read_split import read_split
from tests.fixtures.settings import write_settings

BLOCK = {
    "seed": 4,
    "image_size_px": 64,
    "n_train_images": 3,
    "n_val_images": 2,
    "n_further_images": 0,
}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["stages.shapes"])
    return tmp_path


def _run(**changes: object) -> dict[str, str]:
    """Digests of the files that the stage leaves, by name."""
    write_settings(Path(), shapes=BLOCK | changes)
    shapes.main()
    files = (path for path in Path("data").rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.usefixtures("repository")
def test_both_splits_are_drawn_in_the_layout_that_the_params_name() -> None:
    assert set(_run()) == {
        "data/shapes/annotations/train.json",
        "data/shapes/annotations/val.json",
        *(f"data/shapes/train/{k:06d}.png" for k in (1, 2, 3)),
        *(f"data/shapes/val/{k:06d}.png" for k in (1, 2)),
    }
    for split, n_images in (("train", 3), ("val", 2)):
        records = read_split(
            "coco",
            SHAPES / split,
            SHAPES / "annotations" / f"{split}.json",
            min_area_px=10,
            max_objects=None,
        )
        assert len(records.images) == n_images
        assert len(records.objects) >= 4 * n_images


@pytest.mark.usefixtures("repository")
def test_no_scene_is_in_two_splits() -> None:
    digests = _run(n_train_images=2, n_val_images=2, n_further_images=2)

    assert "data/shapes/further/000002.png" in digests
    assert len(set(digests.values())) == len(digests) == 9


@pytest.mark.usefixtures("repository")
def test_scenes_of_an_earlier_larger_data_set_are_removed() -> None:
    _run(n_val_images=4)

    assert "data/shapes/val/000004.png" not in _run(n_val_images=2)
