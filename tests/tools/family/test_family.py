"""``python -m tools.family``: stopped and taken up again, it ends as if nothing had happened."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from storage.checkpoints import weights
from storage.errors import WeightsError
from tests.fixtures.mini import MODELS
from tools.family import __main__ as command
from tools.family.__main__ import train_family
from tools.family.batches import Batch
from tools.family.images import BatchPlan
from tools.family.photographs import Photograph
from tools.family.prompts import CorrectionPlan
from tools.family.recipe import RECIPE as FULL
from tools.family.recipe import Phase, Recipe, draw_step
from tools.family.state import load_state, recipe_signature, save_state
from tools.family.training import Training

pytestmark = pytest.mark.full_size

TWO = CorrectionPlan(2)

RECIPE = Recipe(
    batches=BatchPlan(seed=8, scene_size_px=64, n_images=1),
    phases=(
        Phase("place", 3, 64, "cartoon", "balanced", (1e-3, 1e-3)),
        Phase("prompts", 3, 64, "scene", "overlap", (1e-3, 0.0), n_objects=3, corrected=TWO),
    ),
)


class Stopped(Exception):  # noqa: N818 - what a person does, no error
    """Ctrl-C, a closed laptop."""


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    n_threads = torch.get_num_threads()
    monkeypatch.setattr(command, "SAVE_EVERY_S", 0.0)
    yield
    torch.set_num_threads(n_threads)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def copy_tables(folder: Path) -> Path:
    """The registry without the weights."""
    return Path(shutil.copytree(weights.TABLES, folder, ignore=shutil.ignore_patterns("*_weights")))


def test_a_stopped_run_ends_as_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_family(RECIPE, tmp_path / "whole" / "state.pt")

    def stopping(recipe: Recipe, step: int, photographs: Sequence[Photograph]) -> Batch:
        if step == 3:
            raise Stopped
        return draw_step(recipe, step, photographs)

    with monkeypatch.context() as patch:
        patch.setattr(command, "draw_step", stopping)
        with pytest.raises(Stopped):
            train_family(RECIPE, tmp_path / "stopped" / "state.pt")
    state = torch.load(tmp_path / "stopped" / "state.pt", weights_only=True)
    assert state["training"]["step"] == 3
    resumed = train_family(RECIPE, tmp_path / "stopped" / "state.pt")
    for name, model in whole.models.items():
        for key, value in model.state_dict().items():
            assert torch.equal(value, resumed.models[name].state_dict()[key])


def test_the_command_publishes_what_it_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = copy_tables(tmp_path / "checkpoints")
    monkeypatch.setattr(weights, "TABLES", tables)
    monkeypatch.setattr(command, "RECIPES", {"mini": RECIPE})
    monkeypatch.setattr(sys, "argv", ["family", "mini"])
    monkeypatch.chdir(tmp_path)
    command.main()
    small = weights.checkpoint("mini", "small").path
    assert small == tmp_path / "checkpoints" / "mini_weights" / "small.safetensors"
    assert f"{small} is trained and listed" in capsys.readouterr().out
    for model in MODELS:
        assert weights.state(weights.checkpoint("mini", model)) == "intact"


def test_a_hundred_steps_of_the_shipped_recipe_give_the_same_files_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_steps = dict(
        zip([phase.name for phase in FULL.phases], (20, 20, 20, 10, 10, 5, 5, 5, 5), strict=True)
    )
    phases = tuple(replace(phase, n_steps=n_steps[phase.name]) for phase in FULL.phases)
    recipe = replace(FULL, phases=phases)
    assert recipe.n_steps == 100
    written = []
    for run in ("first", "second"):
        tables = copy_tables(tmp_path / run / "checkpoints")
        with monkeypatch.context() as patch:
            patch.setattr(weights, "TABLES", tables)
            patch.setattr(command, "RECIPES", {"mini": recipe})
            patch.setattr(sys, "argv", ["family", "mini"])
            patch.chdir(tmp_path / run)
            command.main()
        written.append(files(tables / "mini_weights"))
    assert set(written[0]) == {f"{model}.safetensors" for model in MODELS}
    assert written[0] == written[1]


def test_a_state_of_another_recipe_is_refused_by_both_digests(tmp_path: Path) -> None:
    other = Recipe(BatchPlan(seed=9, scene_size_px=64, n_images=1), RECIPE.phases)
    save_state(tmp_path / "state.pt", Training(other))
    with pytest.raises(WeightsError) as caught:
        load_state(tmp_path / "state.pt", Training(RECIPE))
    for recipe in (RECIPE, other):
        assert recipe_signature(recipe, 0)[:12] in str(caught.value)


def test_a_state_may_go_on_with_phases_that_its_recipe_did_not_have(tmp_path: Path) -> None:
    first, second = RECIPE.phases
    begun = Training(replace(RECIPE, phases=(first,)))
    for step in range(first.n_steps):
        begun.learn(draw_step(begun.recipe, step))
    save_state(tmp_path / "state.pt", begun)
    load_state(tmp_path / "state.pt", longer := Training(RECIPE))
    assert longer.step == first.n_steps
    other = Training(replace(RECIPE, phases=(replace(first, n_steps=4), second)))
    with pytest.raises(WeightsError, match="must be of recipe"):
        load_state(tmp_path / "state.pt", other)


@pytest.mark.parametrize("content", [b"", b"not a state", b"PK\x03\x04"])
def test_a_damaged_state_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=r"state\.pt must be a state of a training, got:"):
        load_state(tmp_path / "state.pt", Training(RECIPE))
