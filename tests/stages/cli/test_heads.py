"""``usam heads``: a head set leaves the clone and says the same elsewhere."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from pipeline.heads.kinds import HeadSet
from pipeline.heads.scope import DRAWN_SHAPES
from pipeline.heads.training_images import fit_training_images
from stages.cli.heads import app
from stages.predictor.loading import head_set_of
from stages.predictor.model_choice import OF_USERS
from storage.head_files.guarantees import GATES, evidence_of, write_guarantees
from storage.head_files.head_file import (
    family_heads,
    head_set_path,
    read_head_file,
    shipped_heads,
    write_head_file,
)
from storage.paths import gate_path
from tests.fixtures.eval_split import write_heads
from tests.fixtures.mini import MODELS
from tests.fixtures.predictors import GATE
from tests.fixtures.settings import settings, write_settings

SPLIT = "shapes_train"

OTHER = "coco_train"
"""A train split of the settings without heads."""


def usam_heads(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A train split with heads that the settings no longer have."""
    monkeypatch.chdir(tmp_path)
    write_heads(tmp_path, SPLIT)
    where = {"reader": "coco", "images": "data", "annotations": "data.json"}
    splits = settings()["splits"] | {OTHER: where}
    write_settings(tmp_path, train_splits=[OTHER], splits=splits)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "head_set"),
    [
        ((), OF_USERS),
        (("--kind", "paper"), HeadSet("selected", "selected", "paper")),
        (("--protocol", "best", "--tokens", "best"), HeadSet("best", "best", "ours")),
        (("--protocol", "best"), HeadSet("best", "selected", "ours")),
    ],
)
def test_an_exported_set_has_the_tensors_of_its_heads(
    clone: Path, options: tuple[str, ...], head_set: HeadSet
) -> None:
    result = usam_heads("export", SPLIT, "a.safetensors", *options)
    assert result.exit_code == 0, result.stderr
    n_heads = len(head_set.objectives(MODELS))
    assert result.stdout.startswith(f"a.safetensors: {n_heads} heads, ")
    found = read_head_file(clone / "a.safetensors")
    trained = read_head_file(head_set_path(SPLIT, head_set))
    assert set(found.weights) == set(head_set.objectives(MODELS))
    for objective, own in trained.weights.items():
        assert set(found.weights[objective]) == set(own)
        for name in found.weights[objective]:
            tensor = own[name]
            np.testing.assert_array_equal(found.weights[objective][name], tensor)
    assert head_set_of(found.card) == head_set
    entries = {"images": DRAWN_SHAPES, "sha256": found.card["sha256"]}
    assert found.card == {**trained.card, **entries}


@pytest.mark.usefixtures("clone")
def test_gates_of_its_measure_go_into_the_card() -> None:
    others = [
        replace(GATE, measure="usam"),
        replace(GATE, scope=replace(GATE.scope, protocol="best")),
        replace(GATE, train_split="coco_train"),
    ]
    for number, gate in enumerate([*others, GATE]):
        write_guarantees(gate_path("shapes_val", str(number)), [gate])
    assert usam_heads("export", SPLIT, "a", "--gates", "shapes_val").exit_code == 0
    assert evidence_of(read_head_file(Path("a")).card, GATES) == (GATE,)


@pytest.mark.usefixtures("clone")
def test_an_edited_gate_is_refused() -> None:
    path = gate_path("shapes_val", "edited")
    write_guarantees(path, [GATE])
    text = path.read_text("utf-8")
    path.write_text(text.replace('"threshold": 0.25', '"threshold": 0.99'), "utf-8")
    assert path.read_text("utf-8") != text
    result = usam_heads("export", SPLIT, "a", "--gates", "shapes_val")
    assert result.exit_code == 1
    assert result.stderr.startswith(
        f"error: {path} must be the file that the stage usam gate wrote"
    )
    assert not Path("a").exists()


@pytest.mark.usefixtures("clone")
def test_without_a_gate_of_its_measure_nothing_is_written() -> None:
    write_guarantees(gate_path("shapes_val", "other"), [replace(GATE, measure="usam")])
    result = usam_heads("export", SPLIT, "a", "--gates", "shapes_val")
    assert result.exit_code == 1
    assert "must have one of usam_ours for selected masks by heads of shapes_train" in result.stderr
    told = "usam gate --iou IOU --alpha ALPHA --split shapes_val --measure usam_ours"
    assert f"{told} --protocol selected" in " ".join(result.stderr.split())
    assert not Path("a").exists()


@pytest.mark.usefixtures("clone")
def test_exported_to_the_file_of_a_family_heads_are_its_own() -> None:
    result = usam_heads("export", SPLIT, str(family_heads("sam2.1")))
    assert result.exit_code == 0, result.stderr
    assert read_head_file(family_heads("sam2.1")).card["split"] == SPLIT


@pytest.mark.usefixtures("clone")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("typo", "a"), f"error: train split must be one of {OTHER}, {SPLIT}, got 'typo'"),
        ((OTHER, "a"), f"error: heads must be a file, got none at heads/{OTHER}/ours/selected/"),
        ((SPLIT, "a", "--tokens", "best"), "error: tokens must be one of selected, got 'best'"),
    ],
)
def test_what_cannot_be_exported_is_named_in_a_line(
    arguments: tuple[str, ...], message: str
) -> None:
    result = usam_heads("export", *arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


def test_the_card_of_the_heads_that_ship_is_printed() -> None:
    result = usam_heads("info")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines() if line]
    assert ["family", "mini"] in lines
    assert ["split", "shapes_train"] in lines
    objectives = OF_USERS.objectives(MODELS)
    errors = [line[1] for line in lines if line[0] in objectives]
    assert len(errors) == len(objectives) == 18
    assert all(re.fullmatch(r"0\.0[0-9]{3}", error) for error in errors)


def test_training_images_travel_with_the_heads(tmp_path: Path) -> None:
    statistics = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    images = fit_training_images(statistics)
    shipped = read_head_file(shipped_heads())
    write_head_file(tmp_path / "a", replace(shipped, training_images=images))
    found = read_head_file(tmp_path / "a").training_images
    assert found is not None
    for name, array in vars(images).items():
        np.testing.assert_array_equal(getattr(found, name), array)
    result = usam_heads("info", str(tmp_path / "a"))
    assert re.search(r"training_images +statistics of 30 images", result.stdout)


def test_without_the_features_a_note_says_that_the_file_lacks_the_images(clone: Path) -> None:
    result = usam_heads("export", SPLIT, "a")
    assert result.exit_code == 0
    assert result.stderr == (
        f"note: the features of {SPLIT} are not here, so the file cannot say which images are "
        "unlike those that its heads learned from\n"
    )
    assert read_head_file(clone / "a").training_images is None
