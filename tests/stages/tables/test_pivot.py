"""Tables that are pivots of scores: their rows, numbers and differences."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.mask_sets import SETS
from pipeline.scoring.measures import (
    HEAD_MEASURES,
    KNOWS_TRUTH,
    OF_KIND,
    TASK_MEASURES,
    UNTRAINED_MEASURES,
)
from pipeline.scoring.scores import names_of
from pipeline.vocabulary import TASKS
from stages.tables.pivot import MASKS
from stages.tables.report_table import Results, of_protocol
from stages.tables.statistics import BY_NAME, GROUPS, KEYS
from storage.outputs.results import SplitResults
from tests.fixtures.eval_split import SPLITS, TRAIN_SPLITS
from tests.fixtures.mini import MODELS
from tests.fixtures.scores import made, rows_of

JUDGED_TOKENS = {
    **{("best", task): "best" for task in TASKS},
    ("best", "task"): "selected",
    **{("selected", task): "selected" for task in TASKS},
}
"""Tokens of the judged mask, by protocol and task."""


def numbers(row: Any, *columns: str) -> Any:  # noqa: ANN401 - what pytest compares
    """A number of a row and its bounds."""
    return pytest.approx([row[column] for column in columns], nan_ok=True)


def is_told(name: str, protocol: str, task: str) -> bool:
    """Whether a measure is shown for the judged masks of a protocol and a task."""
    judged = JUDGED_TOKENS[protocol, task]
    if name in KNOWS_TRUTH:
        return protocol != judged
    return judged != "selected" or name != "sam_score_highest"


def test_scores_are_of_every_declared_statistic_and_have_the_keys_of_its_group(
    results: dict[str, SplitResults],
) -> None:
    scores = pd.concat(split_results.scores for split_results in results.values())
    assert set(scores["statistic"]) == set(BY_NAME)
    keys = list(scores.columns[: list(scores.columns).index("statistic")])
    for group, statistics in GROUPS.items():
        own = scores[scores["statistic"].isin(names_of(statistics))]
        used = [key for key in keys if not own[key].isin(["", np.nan]).all()]
        # These heads were trained from one seed.
        assert used == sorted({*KEYS[group]} - {"seed"}, key=keys.index), group


@pytest.mark.parametrize("task", TASKS)
def test_relative_tables_have_the_papers_rows_of_the_default_model_and_the_judged_mask(
    results: dict[str, SplitResults], own: Results, protocol: str, task: str
) -> None:
    table = made("{task}", own, task)
    names = [name for name in TASK_MEASURES[task] if is_told(name, protocol, task)]
    untrained = [name for name in names if name in UNTRAINED_MEASURES]
    trained = [name for name in names if name in HEAD_MEASURES]
    columns = [split + end for split in SPLITS for end in ("", "_low", "_high")]
    assert list(table.columns) == ["measure", "trained_on", *columns]
    for split in SPLITS:
        assert table[f"{split}_low"].lt(table[split]).all()
        assert table[f"{split}_high"].gt(table[split]).all()
    assert list(zip(table["measure"], table["trained_on"], strict=True)) == [
        *((name, "") for name in untrained),
        *((name, split) for split in TRAIN_SPLITS for name in trained),
    ]
    model = "large" if task == "segmentation" else "tiny"
    scores = rows_of(
        results["coco_val"].scores,
        protocol=protocol,
        task=task,
        model=model,
        statistic="relative",
    )
    scores = scores[scores["tokens"].isin(["", JUDGED_TOKENS[protocol, task]])]
    expected = 100 * scores.set_index(["measure", "train_split"])["value"]
    shown = table.set_index(["measure", "trained_on"])["coco_val"]
    assert shown.to_dict() == pytest.approx(expected[shown.index].to_dict())


def test_the_iou_table_holds_means_over_objects(results: dict[str, SplitResults]) -> None:
    table = made("iou", results)
    proposals = ["best", "selected", "refined", "refined_selected"]
    assert table["proposal"].tolist() == proposals * len(MODELS)
    for row in table.to_dict("records"):
        for split, found in results.items():
            objects = rows_of(found.objects, protocol="best", judged="best", model=row["model"])
            values = objects[f"{row['proposal']}_iou"]
            assert row[split] == pytest.approx(100 * values.mean())
            assert row[f"{split}_low"] < row[split] < row[f"{split}_high"]


def test_the_view_table_shows_the_protocols_masks_in_every_view(
    results: dict[str, SplitResults], own: Results, protocol: str
) -> None:
    table = made("iou_by_view", own)
    assert table["view"].tolist() == ["identity", "vflip"] * len(MODELS)
    is_identity = table["view"] == "identity"
    of_identity = rows_of(made("iou", results), proposal=protocol)
    for split in SPLITS:
        assert table.loc[is_identity, split].tolist() == of_identity[split].tolist()
        means = table.set_index(["model", "view"])[split]
        for row in table[~is_identity].to_dict("records"):
            difference = means[row["model"], row["view"]] - means[row["model"], "identity"]
            assert row[f"{split}_difference"] == pytest.approx(difference, abs=1e-5)
        assert table.loc[is_identity, f"{split}_difference"].isna().all()


def test_margins_are_told_of_every_measure_but_the_baseline(own: Results, protocol: str) -> None:
    table = made("margin", own)
    assert set(table["task"]) == set(TASKS)
    assert set(table["measure"]).isdisjoint(["sam_score", *KNOWS_TRUTH])
    assert ("sam_score_highest" in set(table["measure"])) == (protocol == "best")
    for task, measure in {"prompt": "h_xp", "task": "h_a", "segmentation": "h_std"}.items():
        relative = made("{task}", own, task).set_index("measure")["coco_val"]
        (found,) = table.query("task == @task and measure == @measure")["coco_val"]
        assert found == pytest.approx(relative[measure] - relative["sam_score"])


def test_ablated_heads_lack_a_token_of_the_judged_mask(results: dict[str, SplitResults]) -> None:
    table = made("token_ablation", of_protocol(results, "best"))
    for row in table[table["tokens"] != "both"].to_dict("records"):
        scores = rows_of(
            results["coco_val"].scores,
            tokens=f"{JUDGED_TOKENS['best', row['task']]}_{row['tokens']}",
            train_split=row["trained_on"],
            statistic="relative",
            **{str(name): row[name] for name in ("task", "model", "measure")},
        )
        assert row["coco_val"] == pytest.approx(100 * scores["value"].item())


def test_token_margins_are_differences_to_heads_that_read_both(
    results: dict[str, SplitResults],
) -> None:
    best = of_protocol(results, "best")
    margins = made("token_margin", best)
    assert list(margins["tokens"].unique()) == ["no_mask", "no_iou"]
    assert set(margins["measure"]) == set(OF_KIND["paper"])
    key = ["task", "measure", "trained_on"]
    sets = {
        tokens: rows.set_index(key)["coco_val"]
        for tokens, rows in made("token_ablation", best).groupby("tokens")
    }
    for lack in ("no_mask", "no_iou"):
        is_gap = margins["measure"] != "usam"
        found = margins[(margins["tokens"] == lack) & is_gap]
        expected = (sets[lack] - sets["both"]).to_dict()
        assert found.set_index(key)["coco_val"].to_dict() == pytest.approx(expected, abs=1e-5)


@pytest.mark.no_cover
@pytest.mark.parametrize("group", ["selective", "calibration"])
def test_statistics_of_the_largest_or_of_every_model_are_told_in_percent(
    own: Results, group: str
) -> None:
    table = made(group, own)
    is_of_every_model = "model" in table
    scores = own[SPLITS[0]].scores
    scores = scores[scores["statistic"].isin(names_of(GROUPS[group]))]
    if not is_of_every_model:
        scores = rows_of(scores, model="large")
    assert len(table) == len(scores)
    for score in scores.to_dict("records"):
        (row,) = rows_of(
            table,
            measure=score["measure"],
            trained_on=score["train_split"],
            statistic=BY_NAME[score["statistic"]].symbol,
            **({"model": score["model"]} if is_of_every_model else {}),
        ).to_dict("records")
        shown = [row[SPLITS[0] + end] / 100 for end in ("", "_low", "_high")]
        assert shown == numbers(score, "value", "low", "high")


def test_sets_show_coverage_in_percent_and_their_size(own: Results, protocol: str) -> None:
    table = made("mask_sets", own)
    for split in SPLITS:
        scores = own[split].scores
        scores = scores[scores["statistic"].isin(names_of(SETS))]
        assert table[split].notna().sum() == len(scores)
        # Sets are of the heads of a user's masks.
        assert len(scores) == 0 or protocol == "selected"
        for score in scores.to_dict("records"):
            (row,) = rows_of(
                table,
                sets=f"IoU ≥ {score['iou_at']:g} in {1 - score['alpha']:.0%} of the sets",
                measure=score["measure"],
                trained_on=score["train_split"],
                statistic=BY_NAME[score["statistic"]].symbol,
            ).to_dict("records")
            unit = 100 if score["statistic"] == "coverage" else 1
            shown = [row[split + end] / unit for end in ("", "_low", "_high")]
            assert shown == numbers(score, "value", "low", "high")


def test_better_masks_stand_by_model_in_the_order_of_their_words(own: Results) -> None:
    table = made("better_masks", own)
    order = {label: place for place, label in enumerate(MASKS.values())}
    rows = list(zip(table["model"], table["mask"].map(order), strict=True))
    assert rows == sorted(rows, key=lambda row: (MODELS.index(row[0]), row[1]))
    assert {model for model, _ in rows} in ({*MODELS}, set())
