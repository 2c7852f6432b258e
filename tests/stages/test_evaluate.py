"""The stage ``evaluate`` on stores and heads drawn at random."""

import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray
import zarr

from pipeline.auc import correction_auc
from pipeline.heads.objectives import head_inputs
from pipeline.heads.predict import predict
from pipeline.scoring.measures import HEAD_MEASURES, UNTRAINED_MEASURES
from pipeline.vocabulary import MODELS, OBJECTIVES
from stages import evaluate
from stages.heads import judged
from stages.shell.asked import weights_name
from storage import open_entropy, open_features
from storage.errors import DataError, StoreError
from storage.outputs.results import COLUMNS, SplitResults, read_results
from storage.paths import entropy_path, features_path, head_path, objects_path, results_dir
from storage.split.objects import write_objects
from tests.fixtures.asked import extract_params, open_eval
from tests.fixtures.eval_split import (
    VIEWS,
    object_table,
    write_entropy,
    write_features,
    write_heads,
    write_params,
    write_split,
)

SPLIT = "shapes_val"
N_OBJECTS = 150


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stores and heads, not to be changed."""
    root = tmp_path_factory.mktemp("drawn")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_split(SPLIT, N_OBJECTS)
    write_heads(root, "shapes_train")
    write_heads(root, "coco_train")
    return root


@pytest.fixture
def root(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with stores and heads of its own."""
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    write_params(tmp_path, [SPLIT])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["evaluate", SPLIT])
    return tmp_path


def inputs_of(center: xarray.Dataset, tokens: str = "best") -> np.ndarray:
    return head_inputs(
        center["iou_token"].values,
        center["mask_token"].values,
        iou=center["iou"].values,
        sam_score=center["sam_score"].values,
        tokens=tokens,
    )


def evaluated() -> SplitResults:
    evaluate.main()
    return read_results(results_dir(SPLIT))


def test_every_measure_of_every_head_and_model_has_an_auc(root: Path) -> None:
    write_params(root, [SPLIT], train_splits=["shapes_train", "coco_train"])
    auc = evaluated().auc
    per_model = len(UNTRAINED_MEASURES) + 2 * len(HEAD_MEASURES)
    assert len(auc) == 4 * len(MODELS) * per_model
    assert list(auc["train_split"].unique()) == ["", "shapes_train", "coco_train"]
    margins = [f"tokens_margin{end}" for end in ("", "_low", "_high")]
    assert auc.drop(columns=margins).notna().all(axis=None)
    assert auc.loc[auc["tokens"] != "", margins].notna().all(axis=None)
    assert set(auc["tokens"]) == {"", "best"}


def test_heads_of_every_token_set_are_evaluated_on_their_own_tokens(root: Path) -> None:
    write_heads(root, "shapes_train", tokens="selected")
    write_params(root, [SPLIT], tokens=["best", "selected"])
    results = evaluated()
    auc = results.auc
    assert auc.groupby("tokens").size().to_dict() == {
        "": 4 * len(MODELS) * len(UNTRAINED_MEASURES),
        "best": 4 * len(MODELS) * len(HEAD_MEASURES),
        "selected": 4 * len(MODELS) * len(HEAD_MEASURES),
    }
    assert auc["tokens_margin"].isna().equals(auc["tokens"] == "")
    with open_features(features_path(SPLIT, "large", "identity")) as features:
        center = features.sel(prompt="center").load()
    heads = judged.read_heads("shapes_train", {}, "selected")
    usam = predict(heads.weights, inputs_of(center, "selected"))["iou_large"]
    iou = center["iou"].values.max(axis=1)
    expected = correction_auc(iou, np.ones_like(iou), 1 - usam.astype(np.float64))
    (found,) = auc.query(
        "task == 'segmentation' and model == 'large' and measure == 'usam' and tokens == 'selected'"
    )["relative"]
    assert found == pytest.approx(expected.relative, abs=1e-6)
    assert list(results.run["other_heads"]) == ["selected"]
    assert set(results.run["other_heads"]["selected"]["shapes_train"]) == set(OBJECTIVES)


def test_other_token_sets_change_nothing_of_the_method(root: Path) -> None:
    before = evaluated()
    write_heads(root, "shapes_train", tokens="no_mask")
    write_params(root, [SPLIT], tokens=["no_mask", "best"])
    after = evaluated()
    of_method = after.auc[after.auc["tokens"] != "no_mask"].reset_index(drop=True)
    pd.testing.assert_frame_equal(of_method, before.auc)
    for name in set(COLUMNS) - {"auc"}:
        pd.testing.assert_frame_equal(getattr(after, name), getattr(before, name))


def test_heads_of_a_token_set_that_were_not_trained_are_named(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_params(root, [SPLIT], tokens=["best", "no_iou"])
    with pytest.raises(SystemExit):
        evaluate.main()
    assert "heads/shapes_train/tokens/no_iou/iou_tiny.safetensors" in capsys.readouterr().err


@pytest.mark.usefixtures("root")
def test_an_auc_is_that_of_the_stored_scores() -> None:
    auc = evaluated().auc
    with open_features(features_path(SPLIT, "small", "identity")) as features:
        center = features.sel(prompt="center").load()
        refined_iou = features["iou"].sel(prompt="refined").values
    expected = correction_auc(
        center["iou"].values.max(axis=1),
        refined_iou.max(axis=1),
        1 - center["sam_score"].values.max(axis=1).astype(np.float64),
    )
    (found,) = auc.query(
        "task == 'prompt' and model == 'small' and measure == 'sam_score'"
    ).to_dict("records")
    for name in ("auc", "oracle", "worst", "relative"):
        assert found[name] == pytest.approx(getattr(expected, name), abs=1e-7)


@pytest.mark.usefixtures("root")
def test_objects_hold_what_the_heads_say_of_their_own_rows() -> None:
    objects = evaluated().objects
    of_model = objects[objects["model"] == "large"].reset_index()
    heads = judged.read_heads("shapes_train", {})
    with open_features(features_path(SPLIT, "large", "identity")) as features:
        center = features.sel(prompt="center").load()
    inputs = inputs_of(center)
    expected = predict(heads.weights, inputs)
    np.testing.assert_array_equal(of_model["object_id"], np.arange(N_OBJECTS) + 7)
    np.testing.assert_allclose(of_model["usam@shapes_train"], expected["iou_large"], rtol=1e-6)
    np.testing.assert_allclose(
        of_model["delta_theta_star@shapes_train"], expected["model_gap"] - 0.5, atol=1e-6
    )
    np.testing.assert_allclose(of_model["sam_score"], center["sam_score"].max("proposal"))


def test_tokens_are_read_in_blocks_that_miss_no_object(root: Path) -> None:
    # Chunks hold 1024 rows or more: two of them, the second one short.
    n_objects = 1030
    shutil.rmtree(root / "cache")
    about = {"split": SPLIT, "group": "image"}
    write_objects(root / objects_path(SPLIT), object_table(n_objects), about)
    write_features(SPLIT, "tiny", n_objects)
    write_entropy(SPLIT, n_objects, ("tiny",), ("identity",))
    cells = open_eval(SPLIT, ["tiny"], ["identity"])
    found = judged.read_scores(cells, ("shapes_train",))
    heads = judged.read_heads("shapes_train", {})
    with open_features(features_path(SPLIT, "tiny", "identity")) as features:
        center = features.sel(prompt="center").load()
    inputs = inputs_of(center)
    predictions = found.models["tiny"].predictions["shapes_train"]
    for objective, values in predict(heads.weights, inputs).items():
        np.testing.assert_allclose(predictions[objective], values, rtol=1e-6)


def test_curves_have_as_many_points_as_the_params_say(root: Path) -> None:
    write_params(root, [SPLIT], evaluate={"n_curve_points": 5, "n_resamples": 2, "seed": 0})
    curves = evaluated().curves
    assert sorted(curves["corrected_fraction"].unique()) == [0, 0.25, 0.5, 0.75, 1]
    assert {"oracle", "worst", "random"} <= set(curves["measure"])


@pytest.mark.usefixtures("root")
def test_mean_ious_compare_views_and_proposals_with_one_click_on_the_image_itself() -> None:
    iou = evaluated().iou
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


def test_intervals_follow_from_the_seed(root: Path) -> None:
    first = evaluated().auc
    write_params(root, [SPLIT], evaluate={"n_curve_points": 5, "n_resamples": 20, "seed": 1})
    second = evaluated().auc
    assert (first["relative"] == second["relative"]).all()
    assert (first["relative_low"] != second["relative_low"]).any()


@pytest.mark.usefixtures("root")
def test_what_was_run_is_told() -> None:
    run = evaluated().run
    assert (run["n_objects"], run["n_groups"], run["n_resamples"]) == (N_OBJECTS, 50, 20)
    assert run["models"]["tiny"]["weights"] == weights_name(extract_params(), "tiny")
    assert set(run["heads"]["shapes_train"]) == set(OBJECTIVES)


def test_two_runs_give_the_same_bytes(root: Path) -> None:
    evaluate.main()
    folder = root / results_dir(SPLIT)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)
    evaluate.main()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert set(first) == {f"{name}.csv" for name in COLUMNS} | {"run.json"}


def test_without_train_splits_only_untrained_measures_are_evaluated(root: Path) -> None:
    shutil.rmtree(root / "heads")
    write_params(root, [SPLIT], train_splits=[])
    results = evaluated()
    assert set(results.auc["measure"]) == set(UNTRAINED_MEASURES)
    assert set(results.correlation["train_split"]) == {""}
    assert results.run["heads"] == {}


def other_view() -> None:
    put(features_path(SPLIT, "tiny", "vflip"), features_path(SPLIT, "tiny", "identity"))


def other_model() -> None:
    put(features_path(SPLIT, "small", "identity"), features_path(SPLIT, "tiny", "identity"))


def other_split() -> None:
    write_features("coco_val", "tiny", N_OBJECTS)
    put(features_path("coco_val", "tiny", "identity"), features_path(SPLIT, "tiny", "identity"))


def other_precision() -> None:
    rewrite(["tiny"], precision="bf16")


def other_objects() -> None:
    rewrite(["tiny"], objects_digest="of others")


def put(source: Path, target: Path) -> None:
    shutil.rmtree(target)
    shutil.copytree(source, target)


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_view, "{tiny}: view must be identity, got vflip"),
        (other_model, "{tiny}: model must be tiny, got small"),
        (other_split, f"{{tiny}}: split must be {SPLIT}, got coco_val"),
        (other_precision, "other inputs (precision: bf16 -> fp32)"),
        (other_objects, "other inputs (objects_digest: of others -> "),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_stores_that_are_not_what_their_place_and_the_settings_say_end_the_stage(
    capsys: pytest.CaptureFixture[str], change: Callable[[], None], message: str
) -> None:
    change()
    with pytest.raises(SystemExit):
        evaluate.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert message.format(tiny=features_path(SPLIT, "tiny", "identity")) in line
    assert not results_dir(SPLIT).exists()


def rewrite(models: Sequence[str], **changes: Any) -> None:  # noqa: ANN401
    """Write the features of some models under another signature."""
    for model in models:
        for view in VIEWS:
            shutil.rmtree(features_path(SPLIT, model, view))
            write_features(SPLIT, model, N_OBJECTS, view, **changes)


@pytest.mark.usefixtures("root")
def test_entropies_without_a_model_are_refused() -> None:
    cells = open_eval(SPLIT, MODELS, VIEWS)
    shutil.rmtree(entropy_path(SPLIT))
    write_entropy(SPLIT, N_OBJECTS, models=["tiny", "large"])
    with pytest.raises(StoreError, match=r"from the cells of these models and views \(cells_dig"):
        judged.read_scores(cells, ())
    entropy = open_entropy(entropy_path(SPLIT))
    with pytest.raises(StoreError, match="entropies must include the model small, got tiny, large"):
        judged.entropies_of(entropy, "small")


@pytest.mark.usefixtures("root")
def test_a_split_that_was_not_prepared_is_refused() -> None:
    with pytest.raises(StoreError, match=r"objects/never_made.zarr must be a Zarr store, got none"):
        open_eval("never_made", MODELS, VIEWS)


@pytest.mark.parametrize(
    "name", ["features/shapes_val/large/identity.zarr/iou_token", "entropy/shapes_val.zarr/h_xp"]
)
def test_a_flipped_bit_ends_the_stage_with_the_name_of_the_store(
    root: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    chunks = [path for path in (root / "cache" / name).rglob("c*") if path.is_file()]
    for chunk in chunks:
        data = bytearray(chunk.read_bytes())
        data[len(data) // 2] ^= 1
        chunk.write_bytes(data)
    with pytest.raises(SystemExit):
        evaluate.main()
    assert re.search(rf"{Path(name).parent}(/\w+)?: every chunk must be", capsys.readouterr().err)
    assert chunks


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": "random-1"}, r"weights_tiny \(\w+ -> random, seed 1\)"),
        ({"precision": "bf16"}, r"precision \(fp32 -> bf16\)"),
        ({"version": 2}, r"extract_version \(1 -> 2\)"),
        ({"family": "sam2"}, r"family \(mini -> sam2\)"),
    ],
)
def test_heads_that_learned_from_other_features_are_refused(
    settings: dict[str, Any], message: str
) -> None:
    rewrite(MODELS, **settings)
    with pytest.raises(
        DataError,
        match=rf"shapes_train/iou_tiny.safetensors must .* of the same {message}; train it again",
    ):
        judged.read_scores(open_eval(SPLIT, MODELS, VIEWS, **settings), ("shapes_train",))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (("coco_train", "iou_tiny", "best"), "split must be shapes_train, got coco_train"),
        (("shapes_train", "iou_small", "best"), "objective must be iou_tiny, got iou_small"),
        (("shapes_train", "iou_tiny", "no_iou"), "tokens must be best, got no_iou"),
    ],
    ids=["split", "objective", "tokens"],
)
def test_a_head_in_the_place_of_another_is_refused(
    root: Path, source: tuple[str, str, str], message: str
) -> None:
    write_heads(root, "shapes_train", tokens="no_iou")
    target = head_path("shapes_train", "iou_tiny")
    shutil.copy(head_path(*source), target)
    with pytest.raises(DataError, match=rf"^{target}: {message}$"):
        judged.read_heads("shapes_train", {})


@pytest.mark.usefixtures("root")
def test_entropies_of_other_cells_are_refused() -> None:
    rewrite(["small"], torch_version="3")
    message = r"computed from the cells of .* \(cells_digest: \w+ -> \w+\); run `entropy` again"
    with pytest.raises(StoreError, match=message):
        judged.read_scores(open_eval(SPLIT, MODELS, VIEWS), ())


def test_an_unfinished_store_ends_the_stage_with_one_line(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = features_path(SPLIT, "small", "identity")
    done = zarr.open_array(root / path / "done")
    done[1] = False
    with pytest.raises(SystemExit) as end:
        evaluate.main()
    assert end.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}")
    assert not results_dir(SPLIT).exists()


def test_a_missing_head_ends_the_stage_with_one_line(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / head_path("shapes_train", "task_gap")).unlink()
    with pytest.raises(SystemExit):
        evaluate.main()
    assert "task_gap.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"evaluate": {"n_curve_points": 1}}, "n_curve_points", id="one point"),
        pytest.param(
            {"evaluate": {"n_curve_points": 9, "n": 1}},
            "one of n_curve_points, n_resamples, seed, got 'n'",
            id="key",
        ),
        pytest.param(
            {"eval_splits": ["x"]}, "eval split must be one of x, got 'shapes_", id="split"
        ),
    ],
)
def test_faulty_settings_are_named(
    root: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    eval_splits = changes.pop("eval_splits", [SPLIT])
    write_params(root, eval_splits, **changes)
    with pytest.raises(SystemExit):
        evaluate.main()
    assert message in capsys.readouterr().err
