"""The stage ``evaluate`` on stores and heads drawn at random."""

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import chdir
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.heads.kinds import HeadSet
from pipeline.heads.predict import INPUT_ARRAYS, predict, set_inputs
from pipeline.scoring.auc import correction_auc
from pipeline.scoring.measures import UNTRAINED_MEASURES, uncertainty_column
from pipeline.vocabulary import ABLATIONS, JUDGED
from stages import evaluate
from stages.settings.signatures import train_settings
from stages.split_predictions import model_scores, read_split_heads
from stages.training.data import learned_from
from storage.errors import DataError, StoreError
from storage.head_files.head_file import (
    OBJECTIVES,
    HeadFile,
    head_set_path,
    read_head_file,
    read_heads,
    write_head_file,
)
from storage.outputs.csv_forms import SPLIT_TABLES
from storage.outputs.results import SplitResults, read_results
from storage.paths import CACHE, entropy_path, features_path, objects_path, results_dir
from storage.split.object_table import read_objects, write_objects
from storage.split.split_cells import read_entropies
from storage.store.opening import open_features
from tests.fixtures import train_split
from tests.fixtures.eval_split import (
    TRAIN_SPLITS,
    VIEWS,
    note_features,
    write_entropy,
    write_features,
    write_params,
)
from tests.fixtures.extract_project import run
from tests.fixtures.made_up_objects import object_table
from tests.fixtures.mini import MODELS
from tests.fixtures.scores import rows_of
from tests.fixtures.signatures import extract_params, open_eval, open_train

SPLIT = "shapes_val"
N_OBJECTS = 60

PAPER = HeadSet("best", "best")
"""The paper's own heads."""


@pytest.fixture
def root(evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with stores and heads of its own, to evaluate with those of one train split."""
    for folder in ("cache", "heads"):
        shutil.copytree(evaluated / folder, tmp_path / folder)
    write_params(tmp_path, [SPLIT])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def found(results: Mapping[str, SplitResults]) -> SplitResults:
    """Results of these stores with the heads of both train splits, ablations among them."""
    return results[SPLIT]


@pytest.mark.no_cover
def test_in_another_run_without_ablated_tokens_every_byte_of_the_method_is_the_same(
    root: Path, evaluated: Path, found: SplitResults
) -> None:
    write_params(root, [SPLIT], train_splits=TRAIN_SPLITS)
    run(evaluate, SPLIT)
    alone = read_results(results_dir(SPLIT))
    ablated = found.scores[found.scores["tokens"].str.contains("_no_")]
    assert set(ablated["tokens"]) == {f"{j}_{lack}" for j, lack in product(JUDGED, ABLATIONS)}
    assert set(ablated["protocol"]) == {"best"}
    assert {**found.run, "heads": {}} == {**alone.run, "heads": {}}
    files, files_alone = (
        {path.name: path.read_bytes() for path in (place / results_dir(SPLIT)).iterdir()}
        for place in (evaluated, root)
    )
    assert set(files) == {f"{name}.csv" for name in SPLIT_TABLES} | {"ranking.csv", "run.json"}
    of_method = [row for row in files.pop("scores.csv").splitlines() if b"_no_" not in row]
    assert files_alone.pop("scores.csv").splitlines() == of_method
    assert files_alone | {"run.json": b""} == files | {"run.json": b""}


def test_tokens_are_read_in_blocks_that_miss_no_object(root: Path) -> None:
    # Chunks hold 1024 rows or more: two of them, the second one short.
    n_objects = 1030
    shutil.rmtree(root / "cache")
    about = {"split": SPLIT, "group": "image"}
    write_objects(root / objects_path(SPLIT), object_table(n_objects), about)
    write_features(SPLIT, "tiny", n_objects)
    write_entropy(SPLIT, n_objects, ("tiny",), ("identity",))
    cells = open_eval(SPLIT, ["tiny"], ["identity"])
    heads_of_split = read_split_heads(cells, {"shapes_train": {}})
    models = model_scores(cells, read_entropies(cells), heads_of_split)
    heads = read_heads("shapes_train", {}, PAPER)
    with open_features(features_path(SPLIT, "tiny", "identity")) as features:
        center = features.sel(prompt="center").load()
    inputs = set_inputs({name: center[name].values for name in INPUT_ARRAYS}, PAPER)
    predictions = models["tiny"].predictions[PAPER, "shapes_train"]
    expected = predict(heads.weights, inputs)
    assert set(predictions) == set(expected)
    for objective in predictions.keys() & expected.keys():
        np.testing.assert_allclose(predictions[objective], expected[objective], rtol=1e-6)


@pytest.fixture(scope="module")
def untrained(evaluated: Path, tmp_path_factory: pytest.TempPathFactory) -> SplitResults:
    """Results without heads and moved clicks, under another seed."""
    root = tmp_path_factory.mktemp("untrained")
    shutil.copytree(evaluated / "cache", root / "cache")
    settings = {"n_curve_points": 21, "n_resamples": 20, "seed": 1}
    write_params(root, [SPLIT], train_splits=[], evaluate=settings)
    with chdir(root):
        shutil.rmtree(entropy_path(SPLIT))
        write_entropy(SPLIT, N_OBJECTS, without="dice_near")
        run(evaluate, SPLIT)
        return read_results(results_dir(SPLIT))


def test_without_heads_and_moved_clicks_the_other_measures_are_the_same(
    untrained: SplitResults, found: SplitResults
) -> None:
    assert set(untrained.scores["measure"]) == {"", *UNTRAINED_MEASURES} - {"dice_near"}
    assert set(untrained.correlation["train_split"]) == {""}
    assert untrained.run["heads"] == {}
    for name in ("scores", "curves"):
        alone, every = getattr(untrained, name), getattr(found, name)
        others = every.query("train_split == '' and measure != 'dice_near'").reset_index(drop=True)
        exact = [column for column in others if column not in {"low", "high"}]
        # Intervals and p-values follow from the seed.
        rows = others.get("statistic", others["measure"]) != "margin_p"
        pd.testing.assert_frame_equal(alone.loc[rows, exact], others.loc[rows, exact])
    assert "uncertainty_dice_near" not in untrained.objects
    pd.testing.assert_frame_equal(untrained.objects, found.objects[list(untrained.objects)])


def test_every_column_of_the_objects_ranks_them_as_its_score_says(found: SplitResults) -> None:
    of_task = found.scores.query("statistic == 'relative' and task == 'segmentation'")
    rows = of_task[of_task["tokens"].isin(["", *JUDGED])].to_dict("records")
    objects = dict(iter(found.objects.groupby(["protocol", "judged", "model"])))
    relative = []
    for row in rows:
        judged = objects[row["protocol"], row["protocol"], row["model"]]
        uncertainty = judged[uncertainty_column(row["measure"], row["train_split"])].to_numpy()
        iou = judged["iou"].to_numpy()
        relative.append(correction_auc(iou, np.ones_like(iou), uncertainty).relative)
    assert {row["measure"] for row in rows} >= {"h_std", "soft_dice", "usam", "usam_ours"}
    np.testing.assert_allclose(relative, [row["value"] for row in rows], atol=1e-6)


def test_intervals_change_with_the_seed(untrained: SplitResults, found: SplitResults) -> None:
    first, second = (
        rows_of(split.scores, task="model", measure="h_std", statistic="relative")
        for split in (found, untrained)
    )
    assert (first["low"].to_numpy() != second["low"].to_numpy()).any()


TRAINING = "`dvc repro train@shapes_train-paper` makes it"


def rewrite(models: Sequence[str], **changes: Any) -> None:  # noqa: ANN401
    """Write the features of some models under another signature."""
    for model in models:
        for view in VIEWS:
            shutil.rmtree(features_path(SPLIT, model, view))
            write_features(SPLIT, model, N_OBJECTS, view, **changes)


@pytest.mark.no_cover
@pytest.mark.usefixtures("root")
def test_heads_that_learned_from_other_features_are_refused() -> None:
    settings: dict[str, Any] = {"weights": "random-1"}
    rewrite(MODELS, **settings)
    message = r"weights_tiny \(\w+ -> random, seed 1\)"
    with pytest.raises(
        DataError,
        match=rf"best.safetensors must .* the same features: .*{message}.*; {TRAINING}",
    ):
        read_split_heads(open_eval(SPLIT, MODELS, VIEWS, **settings), {"shapes_train": {}})


@pytest.mark.usefixtures("root")
def test_heads_that_learned_from_other_objects_of_their_split_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    digests = []
    for n_objects in (40, 24):
        shutil.rmtree(features_path("shapes_train", "any", "any").parents[1], ignore_errors=True)
        shutil.rmtree(objects_path("shapes_train"), ignore_errors=True)
        train_split.write_split("shapes_train", n_objects)
        digests.append(open_train("shapes_train", MODELS).digest(["identity"]))
    note_features("shapes_train", digests[0])
    with pytest.raises(SystemExit):
        run(evaluate, SPLIT)
    (line,) = capsys.readouterr().err.splitlines()
    assert f"features: features_digest ({digests[0]} -> {digests[1]}); {TRAINING}" in line
    note_features("shapes_train", digests[1])
    read_heads("shapes_train", asked_of_heads(), PAPER)


@pytest.mark.no_cover
@pytest.mark.usefixtures("root")
def test_heads_of_features_that_are_not_all_there_must_be_of_the_same_objects() -> None:
    train_split.write_split("shapes_train", 24)
    assert set(asked_of_heads()) == {"features_digest"}
    shutil.rmtree(features_path("shapes_train", "large", "identity"))
    digest = read_objects(objects_path("shapes_train")).digest
    assert asked_of_heads() == {"objects_digest": digest}
    with pytest.raises(DataError, match=rf"objects_digest \(none -> {digest}\); {TRAINING}"):
        read_heads("shapes_train", asked_of_heads(), PAPER)
    shutil.rmtree(objects_path("shapes_train"))
    assert asked_of_heads() == {}


def asked_of_heads() -> dict[str, str]:
    """What heads must say of the features of their train split."""
    expected = train_settings(extract_params(), "shapes_train", MODELS)
    return learned_from("shapes_train", expected, CACHE)


@pytest.mark.usefixtures("root")
def test_a_file_that_lacks_a_head_is_refused() -> None:
    path = head_set_path("shapes_train", PAPER)
    found = read_head_file(path)
    rest = {name: head for name, head in found.weights.items() if name != "iou_large"}
    facts = {name: found.by_objective[name] for name in rest}
    write_head_file(path, HeadFile(rest, {**found.card, OBJECTIVES: json.dumps(facts)}))
    message = (
        f"^{path} must have the head iou_large, got none; `dvc repro train@shapes_train-paper`"
    )
    with pytest.raises(DataError, match=message):
        read_heads("shapes_train", {}, PAPER)


@pytest.mark.usefixtures("root")
def test_entropies_of_other_cells_are_refused() -> None:
    rewrite(["small"], torch_version="3")
    message = r"computed from the cells of .* \(cells_digest: \w+ -> \w+\); `dvc repro entropy@"
    with pytest.raises(StoreError, match=message):
        read_entropies(open_eval(SPLIT, MODELS, VIEWS))
