"""Which family answers where the user names none, before any model is loaded."""

from pathlib import Path

import pytest

from pipeline.sam.families import DRAWN, EMBEDDED, PHOTOGRAPHS, models_of
from stages.predictor.command_options import ModelOptions
from stages.predictor.model_choice import default_family
from storage.checkpoints.weights import checkpoint
from tests.fixtures.predictors import write_random_heads

MOST_BYTES = 24_000_000
"""Most bytes that the weights of an embedded family may take."""


@pytest.mark.parametrize(
    ("images", "family"),
    [
        (None, PHOTOGRAPHS),
        ("photo.jpg", PHOTOGRAPHS),
        ("data/shapes/val/000010.png", DRAWN),
        ("data/shapes", DRAWN),
        ("elsewhere/data/shapes/train", DRAWN),
        ("data/shapes/val/../../photos", PHOTOGRAPHS),
        ("data/shapes.jpg", PHOTOGRAPHS),
        ("shapes/data/1.png", PHOTOGRAPHS),
    ],
)
def test_files_below_the_folder_of_drawn_scenes_are_for_mini_and_all_others_for_mini_photos(
    images: str | None, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(images) if images else None
    assert default_family(path) == ModelOptions().choose(path).family == family


def test_a_scene_stays_one_where_dvc_links_it_to_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data/shapes/val").mkdir(parents=True)
    Path("data/shapes/val/1.png").symlink_to(tmp_path / ".dvc" / "cache" / "1")
    assert default_family(Path("data/shapes/val/1.png")) == DRAWN
    monkeypatch.chdir("data/shapes/val")
    assert default_family(Path("1.png")) == DRAWN


def test_a_family_or_heads_that_are_named_win(tmp_path: Path) -> None:
    scene, photo = Path("data/shapes/val/1.png"), Path("photo.jpg")
    assert ModelOptions(PHOTOGRAPHS).choose(scene).family == PHOTOGRAPHS
    assert ModelOptions(DRAWN).choose(photo).family == DRAWN
    heads = write_random_heads(tmp_path / "heads.safetensors")
    assert ModelOptions(heads=heads).choose(photo).family == DRAWN


@pytest.mark.parametrize("family", EMBEDDED)
def test_the_weights_of_an_embedded_family_are_as_listed_and_small(family: str) -> None:
    records = [checkpoint(family, model) for model in models_of(family)]
    sizes = [record.path.stat().st_size for record in records]
    assert sizes == [record.size_bytes for record in records]
    assert sum(sizes) <= MOST_BYTES
    digests = {
        model: ModelOptions(family, model).choose().file.card[f"weights_{model}"]
        for model in models_of(family)
    }
    assert digests == {record.model: record.sha256 for record in records}
