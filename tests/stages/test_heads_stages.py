"""Stages ``tune`` and ``train`` on stores drawn at random."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import chdir, redirect_stdout, suppress
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from sklearn.isotonic import IsotonicRegression

from pipeline.heads.kinds import (
    KINDS,
    KINDS_BY_NAME,
    OURS,
    PAPER,
    RANGES,
    HeadSet,
    Hyperparameters,
    head_sets,
)
from pipeline.heads.networks import initial_network
from pipeline.heads.objectives import TrainingSet, split_by_group
from pipeline.heads.predict import STANDARD, check_head, n_inputs, predict
from pipeline.heads.training import Rows, train_heads, validation_cost
from pipeline.vocabulary import JUDGED, OWN_ABLATIONS
from stages import train, tune
from stages.training.data import read_head_data
from storage.errors import DataError
from storage.head_files.calibrated_scores import read_isotonic
from storage.head_files.head_file import head_set_path, read_head_file, read_head_set
from storage.outputs.csv_forms import TRIALS
from storage.outputs.tuning import read_tuning, study_dir
from storage.paths import (
    features_path,
    objects_path,
    trials_path,
    tuning_path,
)
from storage.split.object_table import read_objects
from storage.store.opening import open_features
from tests.fixtures.extract_project import run
from tests.fixtures.mini import MODELS, OBJECTIVES
from tests.fixtures.signatures import open_train
from tests.fixtures.train_split import (
    N_CHANNELS,
    N_EPOCHS,
    N_OBJECTS,
    SPLIT,
    TUNE,
    write_features,
    write_params,
    write_split,
)


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A split to tune and train on; not to be changed."""
    root = tmp_path_factory.mktemp("untrained")
    with chdir(root):
        write_params()
        write_split()
    return root


@pytest.fixture
def split(untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of it, as the working directory."""
    shutil.copytree(untrained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def trained(untrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A split whose heads of all kinds are trained, those without the IoU token among them.

    Not to be changed; ``said`` is what training said.
    """
    root = tmp_path_factory.mktemp("trained")
    shutil.copytree(untrained, root, dirs_exist_ok=True)
    with chdir(root), redirect_stdout(StringIO()) as said:
        write_params(ablations=["no_iou", *OWN_ABLATIONS])
        for name in OBJECTIVES:
            run(tune, SPLIT, name)
        for kind in KINDS:
            run(train, SPLIT, kind)
    (root / "said").write_text(said.getvalue(), "utf-8")
    return root


@pytest.fixture
def tuned(trained: Path, split: None) -> None:  # noqa: ARG001 - it is where this one begins
    """The copy of the split, with the choices that training needs."""
    folder = tuning_path(SPLIT, PAPER, "iou_tiny").parents[1]
    shutil.copytree(trained / folder, folder)


@pytest.fixture
def in_trained(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)


def rewrite_features(model: str, **changes: Any) -> None:  # noqa: ANN401
    shutil.rmtree(features_path(SPLIT, model, "identity"))
    write_features(model, **changes)


@pytest.mark.usefixtures("split")
def test_without_trials_the_choice_is_that_of_the_params() -> None:
    run(tune, SPLIT, "iou_tiny")
    tuning = read_tuning(tuning_path(SPLIT, PAPER, "iou_tiny"))
    assert asdict(tuning.plan) == {key: TUNE[key] for key in asdict(tuning.plan)}
    assert (tuning.cost, tuning.n_trials, tuning.seed) == (None, 0, 0)
    assert trials_path(SPLIT, PAPER, "iou_tiny").read_text() == ",".join(TRIALS.columns) + "\n"


@pytest.fixture(scope="module", autouse=True)
def _few_epochs() -> Iterator[None]:
    """Trials of studies are short."""
    ranges = RANGES | {"epochs": (1, 4), "batch_size": (16, 64)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stages.training.search.RANGES", ranges)
        yield


Trained = tuple[Hyperparameters, TrainingSet, Rows]
"""What a trial trains by, and on."""

STUDIED: Final = (tuning_path(SPLIT, PAPER, "iou_tiny"), trials_path(SPLIT, PAPER, "iou_tiny"))


def study(*, n_before_death: int | None = None) -> list[Trained]:
    """What a study trains; after some trials, the process dies."""
    trained: list[Trained] = []

    def cost(
        data: TrainingSet,
        rows: Rows,
        objective: str,
        plan: Hyperparameters,
        **options: Any,  # noqa: ANN401
    ) -> float:
        if len(trained) == n_before_death:
            raise Killed
        trained.append((plan, data, rows))
        return validation_cost(data, rows, objective, plan, **options)

    with pytest.MonkeyPatch.context() as patch, suppress(Killed):
        patch.setattr("stages.training.search.validation_cost", cost)
        run(tune, SPLIT, "iou_tiny")
    return trained


def plans_of_study(*, n_before_death: int | None = None) -> list[Hyperparameters]:
    return [plan for plan, *_ in study(n_before_death=n_before_death)]


@pytest.fixture(scope="module")
def undisturbed(
    untrained: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Hyperparameters]]:
    """A study of real training that is done, and its trials; not to be changed."""
    root = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(untrained, root, dirs_exist_ok=True)
    with chdir(root):
        write_params(n_trials=2)
        return root, plans_of_study()


def test_a_study_chooses_its_best_trial_and_leaves_no_log_that_would_answer_the_next(
    undisturbed: tuple[Path, list[Hyperparameters]],
) -> None:
    root, plans = undisturbed
    choice, trials = (root / path for path in STUDIED)
    tuning, table = read_tuning(choice), pd.read_csv(trials)
    assert len(table) == tuning.n_trials == len(plans) == 2
    assert table["mse"].is_monotonic_increasing
    assert tuning.cost == table["mse"][0]
    assert tuning.plan.epochs == table["epochs"][0]
    assert list((root / study_dir(SPLIT, "iou_tiny", "digest")).parent.iterdir()) == []


@pytest.mark.no_cover
@pytest.mark.usefixtures("split")
def test_a_killed_study_goes_on_under_the_same_features_and_version_alone(
    undisturbed: tuple[Path, list[Hyperparameters]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, plans = undisturbed
    write_params(n_trials=2)
    assert plans_of_study(n_before_death=1) == plans[:1]
    rewrite_features("large", torch_version="3")
    assert plans_of_study(n_before_death=1) == plans[:1]
    rewrite_features("large")
    with monkeypatch.context() as patch:
        patch.setattr("stages.training.search.VERSIONS", {"tune": 2})
        assert plans_of_study(n_before_death=1) == plans[:1]
    assert plans_of_study() == plans[1:]
    assert [path.read_bytes() for path in STUDIED] == [
        (root / path).read_bytes() for path in STUDIED
    ]


@pytest.mark.usefixtures("split")
def test_trials_learn_from_whole_images_of_as_many_objects_as_the_params_allow() -> None:
    judged: list[Trained] = []
    for max_objects in (10, None):
        write_params(n_trials=1, max_objects=max_objects)
        judged += study()
    (_, few, sampled), (_, data, every) = judged
    assert {*every.train, *every.validation} == set(range(N_OBJECTS * len(MODELS)))
    assert len(few.inputs) == len(few.group) == 10 * len(MODELS)
    assert len(sampled.train) == 4 * len(sampled.validation)
    assert {*sampled.train, *sampled.validation} == set(range(10 * len(MODELS)))
    for part, of_all in ((sampled.train, every.train), (sampled.validation, every.validation)):
        groups = set(few.group[part])
        rows = [row for row in of_all if data.group[row] in groups]
        np.testing.assert_array_equal(few.inputs[part], data.inputs[rows])
        for name, values in few.targets.items():
            np.testing.assert_array_equal(values[part], data.targets[name][rows])


def refusal(capsys: pytest.CaptureFixture[str], stage: ModuleType, *arguments: str) -> str:
    with pytest.raises(SystemExit, match="1"):
        run(stage, *arguments)
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ")
    return line


@pytest.mark.usefixtures("split")
def test_a_sample_without_an_image_that_judges_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_params(n_trials=1, max_objects=3)
    assert refusal(capsys, tune, SPLIT, "iou_tiny") == (
        "error: shapes_train: tune.max_objects must hold an image or video to be judged on, got 3, "
        "1 of them for that"
    )


@pytest.mark.usefixtures("in_trained")
def test_train_writes_nine_heads_of_each_set() -> None:
    table = read_objects(objects_path(SPLIT))
    for head_set in head_sets(("no_iou", *OWN_ABLATIONS)):
        kind, found = head_set.of_kind, read_head_file(head_set_path(SPLIT, head_set))
        inputs = np.zeros((3, n_inputs(kind, N_CHANNELS)), np.float32)
        assert set(found.weights) == set(head_set.objectives(MODELS))
        for objective, said in predict(found.weights, inputs).items():
            assert said.shape == (3,)
            check_head(objective, found.weights[objective])
            assert (set(STANDARD) <= set(found.weights[objective])) == kind.is_standardised
            metadata = found.metadata(objective)
            plan = kind.plan or read_tuning(tuning_path(SPLIT, PAPER, objective)).plan
            assert json.loads(metadata["hyperparameters"]) == asdict(plan)
            assert all(f"weights_{model}" in metadata for model in MODELS)
            own = {"protocol": head_set.protocol, "tokens": head_set.tokens, "kind": kind.name}
            about = {"split": SPLIT, "family": "mini", "n_channels": str(N_CHANNELS)}
            counts = {"n_objects": str(table.n_objects), "n_images": str(table.height_px.size)}
            assert metadata.items() >= {"objective": objective, **own, **about, **counts}.items()


def head_of(head_set: HeadSet, objective: str) -> tuple[Mapping[str, np.ndarray], dict[str, str]]:
    """Tensors of a head, and all that is told of it."""
    found = read_head_file(head_set_path(SPLIT, head_set))
    return found.weights[objective], found.metadata(objective)


@pytest.mark.usefixtures("in_trained")
def test_kept_heads_learn_from_all_images_and_say_how_such_heads_validate() -> None:
    said = Path("said").read_text("utf-8")
    head_set = HeadSet("selected", "selected")
    data = read_head_data(open_train(SPLIT, MODELS), head_set)
    plan = read_tuning(tuning_path(SPLIT, PAPER, "iou_best")).plan
    everything = Rows(np.arange(len(data.group)), np.arange(0))
    kept = train_heads(data, everything, ["iou_best"], plan, seed=0)["iou_best"]
    tensors, metadata = head_of(head_set, "iou_best")
    for name, tensor in kept.weights.items():
        np.testing.assert_allclose(tensors[name], tensor, atol=1e-6)
    held_out = Rows(*split_by_group(data.group, 0))
    validated = train_heads(data, held_out, ["iou_best"], plan, seed=0)["iou_best"]
    error = validated.validation_mse
    assert float(metadata["validation_mse"]) == pytest.approx(error, rel=1e-5)
    assert f"paper/selected/selected iou_best: validation error {error:.4f}" in said


@pytest.mark.usefixtures("in_trained")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("judged", JUDGED)
def test_scores_of_each_model_are_calibrated_by_its_own_masks(judged: str, kind: str) -> None:
    cells = open_train(SPLIT, MODELS)
    found, _ = read_isotonic(SPLIT, kind, {"features_digest": cells.digest(["identity"])})
    assert set(found) == set(MODELS)
    for model, cell in cells.identity.items():
        center = open_features(str(cell)).sel(prompt="center")
        by = {"best": "iou", "selected": "sam_score"}[judged]
        chosen = center[by].to_numpy().argmax(axis=1)[:, np.newaxis]
        score, iou = (
            np.take_along_axis(center[name].to_numpy(), chosen, 1)[:, 0].astype(np.float64)
            for name in ("sam_score", "iou")
        )
        expected = IsotonicRegression(out_of_bounds="clip").fit(score, iou)
        some = np.linspace(-0.5, 1.5, 200)
        fitted = found[model][judged].iou_at(some)
        np.testing.assert_allclose(fitted, expected.predict(some), atol=1e-12)


@pytest.mark.usefixtures("in_trained")
def test_heads_without_a_token_do_not_learn_from_it() -> None:
    started = initial_network(["iou_tiny"], 2 * N_CHANNELS, 0).tensors()[0]["layers.0.weight"]
    shrunk = {
        tokens: head_of(HeadSet("best", tokens), "iou_tiny")[0]["layers.0.weight"] / started
        for tokens in ("best", "best_no_iou")
    }
    # Weight decay alone moves weights that read 0: all by one factor.
    unread = {tokens: np.ptp(ratio[:, :N_CHANNELS]) for tokens, ratio in shrunk.items()}
    assert unread["best_no_iou"] < 1e-5 < unread["best"]


@pytest.mark.no_cover
@pytest.mark.usefixtures("tuned")
def test_trained_again_without_other_sets_and_from_more_seeds_heads_have_the_same_bytes(
    trained: Path,
) -> None:
    write_params(train={"seeds": [0, 5]})
    run(train, SPLIT, PAPER)
    for file in (head_set_path(SPLIT, head_set) for head_set in head_sets(kinds=("paper",))):
        assert file.read_bytes() == (trained / file).read_bytes()
    other_seed = HeadSet("selected", "selected", seed=5)
    data = read_head_data(open_train(SPLIT, MODELS), other_seed)
    plan = read_tuning(tuning_path(SPLIT, PAPER, "iou_best")).plan
    every_row = Rows(np.arange(len(data.group)), np.arange(0))
    expected = train_heads(data, every_row, ["iou_best"], plan, seed=5)["iou_best"].weights
    weights = read_head_set(SPLIT, other_seed).weights["iou_best"]
    for name, tensor in expected.items():
        np.testing.assert_allclose(weights[name], tensor, atol=1e-6)
    shutil.copy(head_set_path(SPLIT, other_seed), head_set_path(SPLIT, replace(other_seed, seed=6)))
    with pytest.raises(DataError, match="seed must be 6, got 5"):
        read_head_set(SPLIT, replace(other_seed, seed=6))


@pytest.mark.no_cover
@pytest.mark.usefixtures("tuned")
def test_other_hyperparameters_change_no_input_of_heads_that_are_not_tuned(trained: Path) -> None:
    write_params(epochs=N_EPOCHS + 1)
    run(tune, SPLIT, "iou_tiny")
    for of in (tuning_path, trials_path):
        path = of(SPLIT, OURS, "iou_tiny")
        assert path.read_bytes() == (trained / path).read_bytes()
    assert read_tuning(tuning_path(SPLIT, OURS, "iou_tiny")).plan == KINDS_BY_NAME[OURS].plan
    assert read_tuning(tuning_path(SPLIT, PAPER, "iou_tiny")).plan.epochs == N_EPOCHS + 1


@pytest.mark.usefixtures("tuned")
def test_heads_tuned_under_two_seeds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    write_params(seed=5)
    run(tune, SPLIT, "task_gap")
    line = refusal(capsys, train, SPLIT, PAPER)
    assert "must be tuned under one seed" in line
    assert "'task_gap': 5" in line
