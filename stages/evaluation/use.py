"""How useful measures are in practice, as tables of a split's results."""

from collections.abc import Mapping
from typing import Final

import pandas as pd

from pipeline.scoring.bootstrap import Resamples
from pipeline.scoring.evidence import ModelScores
from pipeline.scoring.promises import PromiseRow, n_promised_measures, promise_rows
from pipeline.scoring.use import (
    ReliabilityRow,
    StatisticRow,
    coverage_curves,
    n_measures_in_use,
    reliability_rows,
    statistic_rows,
)
from stages.evaluation.tables import bounds
from stages.shell.blocks import EvaluateParams
from stages.shell.progress import progress
from storage.outputs.columns import COLUMNS, MEASURE_COLUMNS

Models = Mapping[str, ModelScores]

USE_TABLES: Final = ("statistics", "coverage", "reliability", "promises")
"""Names of the tables."""


def use_tables(
    split: str, models: Models, resamples: Resamples, settings: EvaluateParams
) -> dict[str, pd.DataFrame]:
    """Make ``USE_TABLES``, by name."""
    return {
        "statistics": _statistic_table(split, models, resamples),
        "coverage": _coverage_table(models, settings.n_curve_points),
        "reliability": _reliability_table(models, resamples),
        "promises": _promise_table(split, models, resamples, settings),
    }


def _statistic_table(split: str, models: Models, resamples: Resamples) -> pd.DataFrame:
    with progress(f"statistics {split}", n_measures_in_use(models), "measures") as advance:
        return pd.DataFrame(
            {
                **_measure(row),
                "statistic": row.statistic,
                "iou_below": row.iou_below,
                "value": row.value,
                **dict(bounds("value", row.interval)),
            }
            for row in statistic_rows(models, resamples, advance)
        )


def _coverage_table(models: Models, n_points: int) -> pd.DataFrame:
    # One point fewer than for curves that begin at 0: where nothing is kept, there is no risk.
    curves = coverage_curves(models, n_points - 1)
    return pd.concat([pd.DataFrame(vars(curve)) for curve in curves], ignore_index=True)


def _reliability_table(models: Models, resamples: Resamples) -> pd.DataFrame:
    return pd.DataFrame(
        {
            **_measure(row),
            "bin": row.bin,
            "predicted_iou": row.predicted_iou,
            "iou": row.iou,
            **dict(bounds("iou", row.interval)),
        }
        for row in reliability_rows(models, resamples)
    )


def _promise_table(
    split: str, models: Models, resamples: Resamples, settings: EvaluateParams
) -> pd.DataFrame:
    with progress(f"promises {split}", n_promised_measures(models), "measures") as advance:
        rows = promise_rows(
            models, resamples.group, settings.n_splits, seed=settings.seed, advance=advance
        )
        made = [
            {
                **_measure(row),
                "promise": row.promise.of,
                "iou_at_least": row.promise.iou,
                "alpha": row.promise.alpha,
                "held": row.held,
                **dict(bounds("held", row.held_interval)),
                "kept": row.kept,
                **dict(bounds("kept", row.kept_interval)),
            }
            for row in rows
        ]
    # A single image gives no rows, but the columns.
    return pd.DataFrame(made, columns=list(COLUMNS["promises"]))


def _measure(row: StatisticRow | ReliabilityRow | PromiseRow) -> dict[str, str]:
    return {name: getattr(row, name) for name in MEASURE_COLUMNS}
