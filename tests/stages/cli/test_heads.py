"""``usam heads``: a head set leaves the clone and says the same elsewhere."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from pipeline.heads.kinds import HeadSet
from pipeline.predictor.colours import describe_colours, fit_colours
from stages.cli.heads import app
from stages.predictor.card_entries import Gate, colours_entry, gate_of, training_colours
from stages.predictor.loading import head_set_of
from stages.predictor.model_choice import OF_USERS
from storage.folders import write_json
from storage.head_files.head_file import head_set_path, read_head_file
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
    assert result.stdout.startswith("a.safetensors: 9 heads, ")
    found = read_head_file(clone / "a.safetensors")
    trained = read_head_file(head_set_path(SPLIT, head_set))
    assert set(found.weights) == set(head_set.objectives(MODELS))
    for objective, own in trained.weights.items():
        assert set(found.weights[objective]) == set(own)
        for name in found.weights[objective]:
            tensor = own[name]
            np.testing.assert_array_equal(found.weights[objective][name], tensor)
    assert head_set_of(found.card) == head_set
    assert found.card == {**trained.card, "sha256": found.card["sha256"]}


@pytest.mark.usefixtures("clone")
def test_gates_of_its_measure_go_into_the_card() -> None:
    others = [
        replace(GATE, measure="usam"),
        replace(GATE, protocol="best"),
        replace(GATE, train_split="coco_train"),
    ]
    for number, gate in enumerate([*others, GATE]):
        write_json(gate_path("shapes_val", str(number)), asdict(gate))
    assert usam_heads("export", SPLIT, "a", "--gates", "shapes_val").exit_code == 0
    card = read_head_file(Path("a")).card
    assert [Gate(**values) for values in json.loads(card["gates"])] == [GATE]
    assert gate_of(card, "tiny") == GATE
    assert gate_of(card, "large") is None


@pytest.mark.usefixtures("clone")
def test_without_a_gate_of_its_measure_nothing_is_written() -> None:
    write_json(gate_path("shapes_val", "other"), asdict(replace(GATE, measure="usam")))
    result = usam_heads("export", SPLIT, "a", "--gates", "shapes_val")
    assert result.exit_code == 1
    assert "must have one of usam_ours for selected masks by heads of shapes_train" in result.stderr
    told = "usam gate --iou IOU --alpha ALPHA --split shapes_val --measure usam_ours"
    assert f"{told} --protocol selected" in " ".join(result.stderr.split())
    assert not Path("a").exists()


@pytest.mark.usefixtures("clone")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("typo", "a"), f"error: train split must be one of {OTHER}, {SPLIT}, got 'typo'"),
        ((OTHER, "a"), f"error: heads must be a file, got none at heads/{OTHER}/selected/"),
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


@pytest.mark.parametrize("tokens", ["selected", "mini/selected"])
def test_heads_of_a_ladder_are_told_apart_by_whose_tokens_they_read(
    tokens: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for reads in ("edgetam", "sam3"):
        path = head_set_path(SPLIT, replace(OF_USERS, reads=reads))
        path.parent.mkdir(parents=True)
        path.touch()
    result = usam_heads("export", SPLIT, "a.safetensors", "--tokens", tokens)
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: tokens must be one of edgetam/selected, sam3/selected, got {tokens!r}\n"
    )


def test_the_card_of_the_heads_that_ship_is_printed() -> None:
    result = usam_heads("info")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines() if line]
    assert ["family", "mini"] in lines
    assert ["split", "shapes_train"] in lines
    errors = [
        line[1] for line in lines if line[0].startswith(("iou_", "model_", "prompt_", "task_"))
    ]
    assert len(errors) == 9
    assert all(re.fullmatch(r"0\.0[0-9]{3}", error) for error in errors)


def test_the_card_has_the_colours_of_the_images_that_heads_learned_from(clone: Path) -> None:
    generator = np.random.default_rng(0)
    files = [f"{i}.png" for i in range(6)]
    (clone / "data").mkdir()
    rows = []
    for name in files:
        rgb = generator.integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(rgb).save(clone / "data" / name)
        rows.append(describe_colours(rgb))
    sizes = np.full(6, 20, np.int32), np.full(6, 30, np.int32)
    table = SimpleNamespace(file=files, height_px=sizes[0], width_px=sizes[1])
    entry = colours_entry(table, clone / "data")  # type: ignore[arg-type]
    assert training_colours(entry) == fit_colours(np.array(rows))


def test_colours_of_too_few_images_are_left_out_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = SimpleNamespace(file=["a.png"] * 4)
    assert colours_entry(table, tmp_path) == {}  # type: ignore[arg-type]
    assert capsys.readouterr().err.startswith("note: 4 images to learn from, fewer than 5: ")


def test_without_the_images_a_note_says_that_the_card_lacks_them(clone: Path) -> None:
    result = usam_heads("export", SPLIT, "a")
    assert result.exit_code == 0
    assert result.stderr == (
        f"note: the images of {SPLIT} are not here, so the card cannot say which images are unlike "
        "them\n"
    )
    assert training_colours(read_head_file(clone / "a").card) is None
