"""AUC, IoU, curves, correlations and measures of objects, as tables of a split's results."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

import pandas as pd

from pipeline.scoring.bootstrap import Interval, Resamples
from pipeline.scoring.calibration import pixel_rows
from pipeline.scoring.curves import correlations, curves
from pipeline.scoring.measured import Each, JudgedMasks
from pipeline.scoring.measures import predicted_iou
from pipeline.scoring.rows import auc_rows, iou_rows, n_measures
from pipeline.scoring.tasks import ious_of
from stages.evaluation.scores import SplitScores
from stages.shell.progress import progress
from storage.outputs.columns import OBJECT_COLUMNS


def bounds(name: str, interval: Interval) -> Iterator[tuple[str, float]]:
    """Columns of the ends of an interval."""
    yield f"{name}_low", interval.low
    yield f"{name}_high", interval.high


def auc_table(split: str, scores: SplitScores, resamples: Resamples, each: Each) -> pd.DataFrame:
    """AUC of every measure, with intervals."""
    with progress(f"evaluate {split}", n_measures(scores.models), "measures") as advance:
        rows = auc_rows(scores.models, resamples, advance, each)
    return pd.DataFrame(
        {
            "protocol": row.protocol,
            "train_split": row.train_split,
            "tokens": row.tokens,
            "task": row.task,
            "model": row.model,
            "measure": row.measure,
            **asdict(row.area),
            **dict(bounds("auc", row.auc)),
            **dict(bounds("relative", row.relative)),
            "margin": row.margin,
            **dict(bounds("margin", row.margin_interval)),
            "tokens_margin": row.tokens_margin,
            **dict(bounds("tokens_margin", row.tokens_margin_interval)),
        }
        for row in rows
    )


def iou_table(scores: SplitScores, resamples: Resamples) -> pd.DataFrame:
    """Mean IoU of every model, view and proposal, with intervals."""
    return pd.DataFrame(
        {
            "model": row.model,
            "view": row.view,
            "proposal": row.proposal,
            "mean_iou": row.mean_iou,
            **dict(bounds("mean_iou", row.interval)),
            "gain": row.gain,
            **dict(bounds("gain", row.gain_interval)),
        }
        for row in iou_rows(scores.views, resamples)
    )


def curve_table(scores: SplitScores, masks: Sequence[JudgedMasks], n_points: int) -> pd.DataFrame:
    """Mean IoU by the corrected share of the objects."""
    return pd.concat(
        [pd.DataFrame(vars(curve)) for curve in curves(ious_of(scores.models), masks, n_points)],
        ignore_index=True,
    )


def pixel_table(scores: SplitScores, resamples: Resamples) -> pd.DataFrame:
    """How well mask probabilities agree with the ground truth, with intervals."""
    return pd.DataFrame(
        {
            "protocol": row.protocol,
            "model": row.model,
            "region": row.region,
            "statistic": row.statistic,
            "value": row.value,
            **dict(bounds("value", row.interval)),
        }
        for row in pixel_rows(scores.pixels, resamples)
    )


def correlation_table(masks: Iterable[JudgedMasks]) -> pd.DataFrame:
    """Pearson correlations of the measures, below one another for each model and train split."""
    blocks = []
    for found in correlations(masks):
        block = found.pearson.reset_index(names="row")
        block.insert(0, "protocol", found.protocol)
        block.insert(1, "train_split", found.train_split)
        block.insert(2, "model", found.model)
        blocks.append(block)
    return pd.concat(blocks, ignore_index=True)


def object_columns(masks: Iterable[JudgedMasks]) -> list[str]:
    """Columns of the table of objects; measures of heads are named ``<measure>@<train split>``."""
    measures = (measure for one in masks for measure in one.measures)
    return list(dict.fromkeys((*OBJECT_COLUMNS, "group", *(_column(*key) for key in measures))))


def object_blocks(scores: SplitScores, masks: Sequence[JudgedMasks]) -> Iterator[pd.DataFrame]:
    """IoU and measures of each object, a block for the masks of each model, made when asked for.

    The whole table would take more memory than all else.
    """
    order = object_columns(masks)
    for one in masks:
        columns = {
            "protocol": one.protocol,
            "judged": one.judged,
            "object_id": scores.object_id,
            "model": one.model,
            "iou": one.iou,
            **{
                f"{name}_iou": iou
                for name, iou in scores.models[one.model].proposals.by_proposal().items()
            },
            "group": scores.group,
            **{_column(*key): predicted_iou(key[1], value) for key, value in one.measures.items()},
        }
        yield pd.DataFrame(columns).reindex(columns=order)


def _column(train_split: str, measure: str) -> str:
    return f"{measure}@{train_split}" if train_split else measure
