"""What measures are good for, as tables of the results."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.runtime import METHODS
from pipeline.scoring.measures import BY_NAME
from pipeline.scoring.statistics import STATISTICS
from stages.tables.report_table import Results
from stages.tables.statistics import (
    calibration_table,
    failure_table,
    routing_table,
    seconds_of,
    selective_table,
    set_table,
)
from tests.fixtures.eval_split import SPLITS
from tests.fixtures.report_inputs import draw_runtime

SYMBOLS = {statistic.name: statistic.symbol for statistic in STATISTICS}

TIMED = draw_runtime("mini")
"""SAM2 alone takes a second, the other methods a tenth more each, in their order."""

SECONDS = {method: 1 + i / 10 for i, method in enumerate(METHODS)}


def told(table: pd.DataFrame, split: str, **names: str) -> tuple[float, float, float]:
    """Number and bounds of the one row that has these names."""
    for column, name in names.items():
        table = table[table[column] == name]
    ((value, low, high),) = table[[split, f"{split}_low", f"{split}_high"]].to_numpy()
    return value, low, high


def statistics(own: Results, split: str, names: tuple[str, ...]) -> list[dict[Any, Any]]:
    rows = own[split].statistics
    found = rows[rows["statistic"].isin(names)].to_dict("records")
    assert found
    return found


def percent(row: dict[Any, Any]) -> Any:  # noqa: ANN401 - what pytest compares
    return pytest.approx([100 * row["value" + end] for end in ("", "_low", "_high")], nan_ok=True)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (selective_table, ("aurc", "excess_aurc", "augrc", "pearson", "spearman")),
        (failure_table, ("auroc", "average_precision", "false_alarms")),
        (calibration_table, ("calibration_error", "root_mean_square", "bias")),
    ],
    ids=lambda given: getattr(given, "__name__", ""),
)
def test_statistics_of_the_largest_or_of_every_model_are_told_in_percent(
    own: Results, make: Callable[[Results], pd.DataFrame], names: tuple[str, ...]
) -> None:
    table = make(own)
    is_of_every_model = "model" in table
    rows = statistics(own, SPLITS[0], names)
    if not is_of_every_model:
        rows = [row for row in rows if row["model"] == "large"]
    assert len(table) == len(rows)
    for row in rows:
        limit = "" if np.isnan(row["iou_below"]) else f", IoU < {row['iou_below']:g}"
        found = told(
            table,
            SPLITS[0],
            measure=row["measure"],
            trained_on=row["train_split"],
            statistic=SYMBOLS[row["statistic"]] + limit,
            **({"model": row["model"]} if is_of_every_model else {}),
        )
        assert list(found) == percent(row)


def test_sets_show_coverage_in_percent_and_their_size(own: Results) -> None:
    table = set_table(own)
    for split in SPLITS:
        rows = own[split].mask_sets.to_dict("records")
        assert table[split].notna().sum() == 3 * len(rows)
        # Sets are of the heads of a user's masks.
        assert bool(rows) is (set(own[split].promises["protocol"]) == {"selected"})
        for row in rows:
            names = {
                "sets": f"IoU ≥ {row['iou_at_least']:g} in {1 - row['alpha']:.0%} of the sets",
                "measure": row["measure"],
                "trained_on": row["train_split"],
            }
            found = told(table, split, **names, statistic="coverage")
            assert found[0] == pytest.approx(100 * row["coverage"])
            for statistic, column in (("proposals", "n_masks"), ("more", "margin")):
                numbers = [row[column + end] for end in ("", "_low", "_high")]
                found = told(table, split, **names, statistic=statistic)
                assert list(found) == pytest.approx(numbers, nan_ok=True)


def test_routing_takes_the_measures_time_and_the_large_models(own: Results) -> None:
    table = routing_table(own, TIMED)
    for row in statistics(own, SPLITS[0], ("routed",)):
        names = {"measure": row["measure"], "trained_on": row["train_split"]}
        assert list(told(table, SPLITS[0], **names, told="sent on")) == percent(row)
        method = BY_NAME[row["measure"]].timed_as
        of_time = table[table["told"] != "sent on"].query(
            "measure == @row['measure'] and trained_on == @row['train_split']"
        )
        if not method:
            assert of_time.empty
            continue
        # Large alone takes a second.
        expected = [100 * (SECONDS[method] + row["value" + end]) for end in ("", "_low", "_high")]
        found = told(of_time, SPLITS[0], told="time, of the largest model's")
        assert list(found) == pytest.approx(expected)


def test_a_measure_that_the_rounds_cannot_tell_from_the_model_alone_takes_as_long() -> None:
    noisy = TIMED.assign(
        seconds=TIMED["seconds"].mask(TIMED["method"] == "entropy", 0.9),
        ratio_low=TIMED["ratio_low"].mask(TIMED["method"] == "entropy", 0.8),
    )
    assert seconds_of(TIMED, "tiny", "entropy") == SECONDS["entropy"]
    assert seconds_of(noisy, "tiny", "entropy") == seconds_of(noisy, "tiny") == SECONDS["sam"]
