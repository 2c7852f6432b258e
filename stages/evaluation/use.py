"""How useful measures are in practice, as tables of a split's results."""

from collections.abc import Sequence
from typing import Final

import pandas as pd

from pipeline.scoring.bootstrap import Resamples
from pipeline.scoring.measured import Each, JudgedMasks
from pipeline.scoring.promises import PromiseRow, promise_rows
from pipeline.scoring.use import (
    ReliabilityRow,
    StatisticRow,
    coverage_curves,
    of_largest,
    reliability_rows,
    statistic_rows,
)
from stages.evaluation.tables import bounds
from stages.shell.blocks import EvaluateParams
from stages.shell.progress import progress
from storage.outputs.columns import COLUMNS, MEASURE_COLUMNS

USE_TABLES: Final = ("statistics", "coverage", "reliability", "promises")
"""Names of the tables."""


def use_tables(
    split: str,
    masks: Sequence[JudgedMasks],
    resamples: Resamples,
    settings: EvaluateParams,
    each: Each,
) -> dict[str, pd.DataFrame]:
    """Make ``USE_TABLES``, by name, from each protocol's own masks."""
    largest = of_largest(masks)
    return {
        "statistics": _statistic_table(split, masks, resamples, each),
        "coverage": _coverage_table(largest, settings.n_curve_points),
        "reliability": _reliability_table(masks, resamples),
        "promises": _promise_table(largest, resamples),
    }


def _statistic_table(
    split: str, masks: Sequence[JudgedMasks], resamples: Resamples, each: Each
) -> pd.DataFrame:
    with progress(f"statistics {split}", _n_measures(masks), "measures") as advance:
        return pd.DataFrame(
            {
                **_measure(row),
                "statistic": row.statistic,
                "iou_below": row.iou_below,
                "value": row.value,
                **dict(bounds("value", row.interval)),
            }
            for row in statistic_rows(masks, resamples, advance, each)
        )


def _coverage_table(masks: Sequence[JudgedMasks], n_points: int) -> pd.DataFrame:
    # One point fewer than for curves that begin at 0: where nothing is kept, there is no risk.
    curves = coverage_curves(masks, n_points - 1)
    return pd.concat([pd.DataFrame(vars(curve)) for curve in curves], ignore_index=True)


def _reliability_table(masks: Sequence[JudgedMasks], resamples: Resamples) -> pd.DataFrame:
    return pd.DataFrame(
        {
            **_measure(row),
            "bin": row.bin,
            "predicted_iou": row.predicted_iou,
            "iou": row.iou,
            **dict(bounds("iou", row.interval)),
        }
        for row in reliability_rows(masks, resamples)
    )


def _promise_table(masks: Sequence[JudgedMasks], resamples: Resamples) -> pd.DataFrame:
    rows = [
        {
            **_measure(row),
            "promise": row.promise.of,
            "iou_at_least": row.promise.iou,
            "alpha": row.promise.alpha,
            "kept": row.kept,
        }
        for row in promise_rows(masks, resamples.group)
    ]
    # Few images show nothing: there are no rows, then, but the columns.
    return pd.DataFrame(rows, columns=list(COLUMNS["promises"]))


def _n_measures(masks: Sequence[JudgedMasks]) -> int:
    return sum(len(one.measures) for one in masks)


def _measure(row: StatisticRow | ReliabilityRow | PromiseRow) -> dict[str, str]:
    return {name: getattr(row, name) for name in MEASURE_COLUMNS}
