"""What heads learn from, and that who trains them changes none of them."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, chdir, nullcontext
from dataclasses import astuple, replace
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from pipeline.heads.kinds import HeadSet, OneCycle
from pipeline.heads.objectives import TrainingSet
from pipeline.heads.predict import INPUT_ARRAYS, inputs_of_proposals, set_inputs
from pipeline.heads.training import Rows, TrainedHead
from stages.executor.executors import executor_of
from stages.executor.opened_cells import CellsToOpen
from stages.executor.tasks import Run
from stages.settings.blocks import ExecutorParams
from stages.settings.signatures import train_settings
from stages.training import fit
from stages.training.data import read_head_data
from stages.training.fit import fit_sets, heads_to_fit
from storage.paths import CACHE, features_path
from storage.split.split_cells import SplitCells, open_cells
from storage.store.opening import open_features
from tests.fixtures.mini import MODELS
from tests.fixtures.signatures import extract_params
from tests.fixtures.tasks import run_travelled
from tests.fixtures.train_split import (
    N_CHANNELS,
    N_OBJECTS,
    SPLIT,
    write_features,
    write_split,
)

LOCAL: Final = ExecutorParams(kind="local", n_workers=2)

PLAN: Final = OneCycle(epochs=1, batch_size=32, learning_rate=1e-3, weight_decay=0.05)

TODO: Final = {
    one: heads_to_fit(one, dict.fromkeys(one.objectives(MODELS), PLAN), seed=0, judging_seed=0)
    for one in (HeadSet("best", "best", "ours"), HeadSet("selected", "selected", "ours"))
}


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CellsToOpen:
    """Cells of a train split, in the working directory."""
    monkeypatch.chdir(tmp_path)
    write_split()
    return CellsToOpen(SPLIT, train_settings(extract_params(), SPLIT, MODELS), CACHE)


@pytest.fixture
def travelling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of any kind are this process; what they are given and give has travelled."""

    def executor(params: ExecutorParams, name: str = "", **_: int) -> AbstractContextManager[Run]:
        inline = params.kind == "inline"
        return executor_of(params, name) if inline else nullcontext(run_travelled)

    monkeypatch.setattr(fit, "executor_of", executor)


@pytest.mark.usefixtures("travelling")
def test_workers_train_the_same_heads_and_read_each_set_once(
    cells: CellsToOpen, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = dict(fit_sets(cells, TODO, ExecutorParams()))
    read: list[HeadSet] = []

    def noted(opened: SplitCells, head_set: HeadSet) -> TrainingSet:
        read.append(head_set)
        return read_head_data(opened, head_set)

    monkeypatch.setattr(fit, "read_head_data", noted)
    found = dict(fit_sets(cells, TODO, LOCAL))
    assert read == list(TODO)
    assert list(found) == list(expected)
    for one, heads in expected.items():
        assert list(found[one]) == list(heads) == TODO[one]
        for trained, by_objective in heads.items():
            for name, head in by_objective.items():
                np.testing.assert_equal(astuple(found[one][trained][name]), astuple(head))


def test_halved_heads_learn_from_half_of_the_images_that_are_not_held_out(
    cells: CellsToOpen, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[list[set[int]]] = []

    def noted(data: TrainingSet, rows: Rows, *_: object, **__: object) -> dict[str, TrainedHead]:
        groups.append([set(data.group[part]) for part in (rows.train, rows.validation)])
        assert np.isin(data.group, [*groups[-1][0]]).sum() == len(rows.train)
        return {}

    monkeypatch.setattr(fit, "train_heads", noted)
    (head_set, heads), *_ = TODO.items()
    validated = [head for head in heads if not head.is_final]
    halved = [replace(head, is_halved=True) for head in validated]
    list(fit_sets(cells, {head_set: [*validated, *halved]}, ExecutorParams(n_threads=1)))
    for (rest, held_out), (half, of_half) in zip(
        groups[: len(halved)], groups[len(halved) :], strict=True
    ):
        assert held_out == of_half
        assert not rest & held_out
        assert half < rest
        assert len(half) == len(rest) // 2


@pytest.mark.usefixtures("travelling")
def test_what_the_method_refuses_is_said_alike_whoever_trains(cells: CellsToOpen) -> None:
    shutil.rmtree(features_path(SPLIT, "small", "identity"))
    write_features("small", iou_token=np.full((N_OBJECTS, 2, N_CHANNELS), np.nan, np.float32))
    for executor in (ExecutorParams(), LOCAL):
        with pytest.raises(ValueError, match=rf"inputs must be finite, got {2 * N_OBJECTS} rows"):
            list(fit_sets(cells, TODO, executor))


N_IN_CHUNKS: Final = 2049
"""Objects in three chunks."""


@pytest.fixture(scope="module")
def in_chunks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A split of ``N_IN_CHUNKS`` objects; not to be changed."""
    root = tmp_path_factory.mktemp("in_chunks")
    with chdir(root):
        write_split(n_objects=N_IN_CHUNKS)
    return root


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("head_set", "prompts", "read_inputs"),
    [
        (HeadSet("best", "best"), ["center"], set_inputs),
        (HeadSet("best", "best", "ours"), ["center", "refined"], set_inputs),
        (HeadSet("selected", "selected", "ours"), ["center", "refined"], inputs_of_proposals),
    ],
    ids=lambda argument: getattr(argument, "__name__", str(argument)),
)
def test_rows_of_all_blocks_are_those_of_the_whole(
    head_set: HeadSet,
    prompts: list[str],
    read_inputs: Callable[..., np.ndarray],
    in_chunks: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(in_chunks)
    found = read_head_data(
        open_cells(SPLIT, train_settings(extract_params(), SPLIT, MODELS)), head_set
    )
    expected = []
    for prompt, model in product(prompts, MODELS):
        with open_features(features_path(SPLIT, model, "identity")) as features:
            own = features.sel(prompt=prompt)
            arrays = {name: own[name].to_numpy() for name in INPUT_ARRAYS}
            inputs = read_inputs(arrays, head_set)
            # One view has no axis: nothing is learned of the image.
            expected.append(inputs[:, : -found.axes.n_statistics] if found.axes else inputs)
    np.testing.assert_array_equal(found.inputs, np.concatenate(expected))
