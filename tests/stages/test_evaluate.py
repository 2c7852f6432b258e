"""The stage ``evaluate`` on stores and heads drawn at random."""

import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray
from scipy import stats
from sklearn.metrics import roc_auc_score

from pipeline.heads.kinds import KINDS_BY_NAME, HeadSet, head_sets
from pipeline.heads.predict import READ, predict, set_inputs
from pipeline.result_rows import SPLIT_TABLES
from pipeline.scoring.measures import BY_NAME, UNTRAINED_MEASURES
from pipeline.vocabulary import ABLATIONS, JUDGED
from stages import evaluate, evaluation
from stages.settings.signatures import settings_of_cells, train_cells, weights_name
from stages.tables.report_table import Results
from stages.training.data import learned_from
from storage import open_entropy, open_features
from storage.errors import DataError, StoreError
from storage.head_files.head_file import (
    HeadFile,
    head_set_path,
    read_head_file,
    read_heads,
    write_head_file,
)
from storage.outputs.results import SplitResults, read_results
from storage.paths import CACHE, entropy_path, features_path, objects_path, results_dir
from storage.split.objects import write_objects
from storage.store.schema import specs_of
from storage.store.writing import write_store
from tests.fixtures import train_split
from tests.fixtures.eval_split import (
    SPLITS,
    TRAIN_SPLITS,
    VIEWS,
    note_features,
    object_table,
    write_entropy,
    write_features,
    write_params,
)
from tests.fixtures.made_up_cell import flip_middle
from tests.fixtures.mini import MODELS
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
    monkeypatch.setattr(sys, "argv", ["evaluate", SPLIT])
    return tmp_path


@pytest.fixture
def found(results: Mapping[str, SplitResults]) -> SplitResults:
    """Results of these stores with the heads of both train splits, ablations among them."""
    return results[SPLIT]


@pytest.fixture
def in_evaluated(evaluated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(evaluated)


def inputs_of(center: xarray.Dataset, head_set: HeadSet = PAPER) -> np.ndarray:
    return set_inputs({name: center[name].values for name in READ}, head_set)


def evaluate_again() -> SplitResults:
    evaluate.main()
    return read_results(results_dir(SPLIT))


def chosen(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Each object's value of the proposal that is the highest in another array."""
    return np.array([row[np.argmax(own)] for row, own in zip(values, by, strict=True)])


def test_ablated_tokens_change_nothing_of_the_method(root: Path, found: SplitResults) -> None:
    write_params(root, [SPLIT], train_splits=TRAIN_SPLITS)
    alone = evaluate_again()
    is_ablated = found.auc["tokens"].str.contains("_no_")
    ablated = {f"{judged}_{lack}" for judged, lack in product(JUDGED, ABLATIONS)}
    assert set(found.auc[is_ablated]["tokens"]) == ablated
    assert set(found.auc[is_ablated]["protocol"]) == {"best"}
    of_method = found.auc[~is_ablated].reset_index(drop=True)
    pd.testing.assert_frame_equal(of_method, alone.auc)
    for name in set(SPLIT_TABLES) - {"auc"}:
        pd.testing.assert_frame_equal(getattr(found, name), getattr(alone, name))


def test_where_no_moved_clicks_were_asked_for_all_but_their_measure_is_the_same(
    root: Path, found: SplitResults
) -> None:
    write_params(root, [SPLIT], train_splits=TRAIN_SPLITS, ablations=list(ABLATIONS))
    entropy = open_entropy(entropy_path(SPLIT)).load().drop_vars("dice_near")
    arrays = {
        name: entropy[name].to_numpy()
        for name, spec in specs_of("entropy", ()).items()
        if not spec.is_coordinate
    }
    labels = {name: entropy[name].values.tolist() for name in ("object_id", "model")}
    shutil.rmtree(entropy_path(SPLIT))
    signature = entropy.attrs["signature"]
    write_store(entropy_path(SPLIT), "entropy", arrays | labels, signature=signature)
    alone = evaluate_again()
    assert "dice_near" in set(found.auc["measure"])
    for name in ("auc", "curves", "statistics", "coverage"):
        every = getattr(found, name)
        others = every[every["measure"] != "dice_near"].reset_index(drop=True)
        pd.testing.assert_frame_equal(getattr(alone, name), others)
    pd.testing.assert_frame_equal(alone.objects, found.objects.drop(columns="dice_near"))


@pytest.mark.usefixtures("in_evaluated")
@pytest.mark.parametrize("head_set", head_sets(), ids=str)
def test_objects_hold_what_the_heads_say_of_their_own_rows(
    head_set: HeadSet, found: SplitResults
) -> None:
    objects = found.objects
    of_model = objects.query(
        "model == 'large' and protocol == @head_set.protocol and judged == @head_set.tokens"
    ).reset_index()
    heads = read_heads("shapes_train", {}, head_set)
    with open_features(features_path(SPLIT, "large", "identity")) as features:
        center = features.sel(prompt="center").load()
    inputs = inputs_of(center, head_set)
    expected = predict(heads.weights, inputs)
    by = {"best": "iou", "selected": "sam_score"}[head_set.tokens]
    np.testing.assert_array_equal(of_model["object_id"], np.arange(N_OBJECTS) + 7)
    told = {
        "usam": expected["iou_large"],
        "delta_theta_star": expected["model_gap"] - 0.5,
    }
    for name, values in told.items():
        column = f"{KINDS_BY_NAME[head_set.kind].named(name)}@shapes_train"
        np.testing.assert_allclose(of_model[column], values, atol=1e-6)
    for name in ("iou", "sam_score"):
        values = chosen(center[name].values, center[by].values)
        np.testing.assert_allclose(of_model[name], values)


def test_tokens_are_read_in_blocks_that_miss_no_object(root: Path) -> None:
    # Chunks hold 1024 rows or more: two of them, the second one short.
    n_objects = 1030
    shutil.rmtree(root / "cache")
    about = {"split": SPLIT, "group": "image"}
    write_objects(root / objects_path(SPLIT), object_table(n_objects), about)
    write_features(SPLIT, "tiny", n_objects)
    write_entropy(SPLIT, n_objects, ("tiny",), ("identity",))
    cells = open_eval(SPLIT, ["tiny"], ["identity"])
    found = evaluation.read_scores(cells, {"shapes_train": {}})
    heads = read_heads("shapes_train", {}, PAPER)
    with open_features(features_path(SPLIT, "tiny", "identity")) as features:
        center = features.sel(prompt="center").load()
    inputs = inputs_of(center)
    predictions = found.models["tiny"].predictions[PAPER]["shapes_train"]
    expected = predict(heads.weights, inputs)
    assert set(predictions) == set(expected)
    for objective in predictions.keys() & expected.keys():
        np.testing.assert_allclose(predictions[objective], expected[objective], rtol=1e-6)


@pytest.mark.usefixtures("in_evaluated")
def test_mean_ious_compare_views_and_proposals_with_one_click_on_the_image_itself(
    found: SplitResults,
) -> None:
    iou = found.iou
    assert list(iou["view"].unique()) == ["identity", "vflip"]
    with open_features(features_path(SPLIT, "large", "vflip")) as flipped:
        expected = float(flipped["iou"].sel(prompt="refined").max("proposal").mean())
    of_large = iou[iou["model"] == "large"].to_dict("records")
    rows = {(row["view"], row["proposal"]): row for row in of_large}
    row, start = rows["vflip", "refined"], rows["identity", "best"]
    assert row["mean_iou"] == pytest.approx(expected, abs=1e-6)
    assert row["gain"] == pytest.approx(row["mean_iou"] - start["mean_iou"], abs=1e-6)
    assert row["gain_low"] < row["gain"] < row["gain_high"]
    assert start["gain_low"] == start["gain_high"] == 0


def test_what_was_run_is_told(found: SplitResults) -> None:
    run = found.run
    assert (run["n_objects"], run["n_groups"], run["n_resamples"]) == (N_OBJECTS, 20, 20)
    assert run["models"]["tiny"]["weights"] == weights_name(extract_params(), "tiny")
    assert set(run["heads"]["shapes_train"]) == {
        f"{one.protocol}/{one.kind}/{one.tokens}/{objective}"
        for one in head_sets(ABLATIONS)
        for objective in one.objectives(MODELS)
    }


def test_two_runs_give_the_same_bytes(root: Path, evaluated: Path) -> None:
    write_params(root, SPLITS, train_splits=TRAIN_SPLITS, ablations=list(ABLATIONS))
    evaluate.main()
    first, second = (
        {path.name: path.read_bytes() for path in (place / results_dir(SPLIT)).iterdir()}
        for place in (evaluated, root)
    )
    assert first == second
    assert set(first) == {f"{name}.csv" for name in SPLIT_TABLES} | {"ranking.csv", "run.json"}


@pytest.fixture(scope="module")
def untrained(evaluated: Path, tmp_path_factory: pytest.TempPathFactory) -> SplitResults:
    """Results without heads, of fewer points and of another seed."""
    root = tmp_path_factory.mktemp("untrained")
    shutil.copytree(evaluated / "cache", root / "cache")
    settings = {"n_curve_points": 5, "n_resamples": 20, "seed": 1}
    write_params(root, [SPLIT], train_splits=[], evaluate=settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(sys, "argv", ["evaluate", SPLIT])
        return evaluate_again()


def test_without_train_splits_only_untrained_measures_are_evaluated(
    untrained: SplitResults,
) -> None:
    assert set(untrained.auc["measure"]) == set(UNTRAINED_MEASURES)
    assert set(untrained.correlation["train_split"]) == {""}
    assert untrained.run["heads"] == {}


def test_curves_have_as_many_points_as_the_params_say(untrained: SplitResults) -> None:
    curves = untrained.curves
    assert sorted(curves["corrected_fraction"].unique()) == [0, 0.25, 0.5, 0.75, 1]
    assert {"oracle", "worst", "random"} <= set(curves["measure"])


def test_intervals_follow_from_the_seed(untrained: SplitResults, found: SplitResults) -> None:
    first = found.auc[found.auc["train_split"] == ""].reset_index(drop=True)
    second = untrained.auc
    assert (first["relative"] == second["relative"]).all()
    assert (first["relative_low"] != second["relative_low"]).any()


def rewrite(models: Sequence[str], **changes: Any) -> None:  # noqa: ANN401
    """Write the features of some models under another signature."""
    for model in models:
        for view in VIEWS:
            shutil.rmtree(features_path(SPLIT, model, view))
            write_features(SPLIT, model, N_OBJECTS, view, **changes)


def test_a_flipped_bit_ends_the_stage_with_the_name_of_the_store(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = root / features_path(SPLIT, "large", "identity")
    chunks = [path for path in (store / "iou_token").rglob("c*") if path.is_file()]
    assert chunks
    for chunk in chunks:
        flip_middle(chunk)
    with pytest.raises(SystemExit):
        evaluate.main()
    assert re.search(
        rf"{store.relative_to(root)}(/\w+)?: every chunk must be", capsys.readouterr().err
    )


@pytest.mark.usefixtures("root")
def test_heads_that_learned_from_other_features_are_refused() -> None:
    settings: dict[str, Any] = {"weights": "random-1"}
    rewrite(MODELS, **settings)
    message = r"weights_tiny \(\w+ -> random, seed 1\)"
    with pytest.raises(
        DataError,
        match=rf"best.safetensors must .* the same features: .*{message}.*; train them again",
    ):
        evaluation.read_scores(open_eval(SPLIT, MODELS, VIEWS, **settings), {"shapes_train": {}})


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
        evaluate.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert f"features: features_digest ({digests[0]} -> {digests[1]}); train them again" in line
    note_features("shapes_train", digests[1])
    read_heads("shapes_train", asked_of_heads(), PAPER)


@pytest.mark.usefixtures("root")
def test_heads_of_features_that_are_not_all_there_stand_alone() -> None:
    train_split.write_split("shapes_train", 24)
    assert asked_of_heads()
    shutil.rmtree(features_path("shapes_train", "large", "identity"))
    assert asked_of_heads() == {}


def asked_of_heads() -> dict[str, str]:
    """What heads must say of the features of their train split."""
    expected = settings_of_cells(extract_params(), train_cells("shapes_train", MODELS))
    return learned_from("shapes_train", expected, CACHE)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (("coco_train", PAPER), "split must be shapes_train, got coco_train"),
        (("shapes_train", HeadSet("best", "best", "ours")), "kind must be paper, got"),
    ],
    ids=["split", "kind"],
)
@pytest.mark.usefixtures("root")
def test_heads_in_the_place_of_others_are_refused(
    source: tuple[str, HeadSet], message: str
) -> None:
    target = head_set_path("shapes_train", PAPER)
    shutil.copy(head_set_path(*source), target)
    with pytest.raises(DataError, match=rf"^{target}: {message}"):
        read_heads("shapes_train", {}, PAPER)


@pytest.mark.usefixtures("root")
def test_a_file_that_lacks_a_head_is_refused() -> None:
    path = head_set_path("shapes_train", PAPER)
    found = read_head_file(path)
    rest = {name: head for name, head in found.weights.items() if name != "iou_large"}
    write_head_file(path, HeadFile(rest, found.card))
    with pytest.raises(DataError, match=f"^{path} must have the head iou_large, got none; train"):
        read_heads("shapes_train", {}, PAPER)


@pytest.mark.usefixtures("root")
def test_entropies_of_other_cells_are_refused() -> None:
    rewrite(["small"], torch_version="3")
    message = r"computed from the cells of .* \(cells_digest: \w+ -> \w+\); run `entropy` again"
    with pytest.raises(StoreError, match=message):
        evaluation.read_scores(open_eval(SPLIT, MODELS, VIEWS), {})


def test_ranks_and_failures_are_those_of_the_objects(own: Results, protocol: str) -> None:
    of_split = own[SPLIT]
    judged = of_split.objects[of_split.objects["judged"] == protocol]
    by_model = dict(iter(judged.groupby("model")))
    rows = of_split.statistics
    rows = rows[rows["statistic"].isin(["spearman", "auroc", "bias"])]
    assert set(rows["model"]) == set(by_model)
    for row in rows.to_dict("records"):
        objects = by_model[row["model"]]
        end = f"@{row['train_split']}" if row["train_split"] else ""
        shown, iou = objects[row["measure"] + end].to_numpy(), objects["iou"].to_numpy()
        uncertainty = 1 - shown if BY_NAME[row["measure"]].predicted_iou else shown
        fails = iou < row["iou_below"]
        expected = np.nan
        match row["statistic"]:
            case "spearman" if np.ptp(uncertainty):  # the largest model gains nothing of itself
                expected = stats.spearmanr(1 - iou, uncertainty).statistic
            case "auroc" if 0 < fails.sum() < len(iou):
                expected = roc_auc_score(fails, uncertainty)
            case "bias":
                expected = (shown - iou).mean()
        assert row["value"] == pytest.approx(expected, abs=1e-6, nan_ok=True), row
