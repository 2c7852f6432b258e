"""The tables of a split's results, made from what the measures say of its objects."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import pandas as pd

from pipeline.gallery import ranking_columns
from pipeline.result_rows import SPLIT_TABLES
from pipeline.risk_control import promise_rows
from pipeline.scoring.bootstrap import Resamples
from pipeline.scoring.calibration import pixel_rows
from pipeline.scoring.corrections import auc_rows, correlations, curves, iou_rows, n_measures
from pipeline.scoring.judged_masks import Each, JudgedMasks, judged_masks, own_masks
from pipeline.scoring.measures import predicted_iou
from pipeline.scoring.statistics import (
    coverage_curves,
    of_largest,
    reliability_rows,
    statistic_rows,
)
from pipeline.scoring.tasks import ious_of
from stages.evaluation.scores import SplitScores
from stages.program.progress import progress
from stages.settings.blocks import EvaluateParams
from storage.outputs.tables import Frames, as_frame, blocks_as_frame

T = TypeVar("T")
R = TypeVar("R")


def split_tables(
    split: str, scores: SplitScores, resamples: Resamples, settings: EvaluateParams, each: Each
) -> dict[str, Frames]:
    """Make the tables of ``SPLIT_TABLES`` and the ``ranking``, by name."""
    masks = judged_masks(scores.models)
    own = own_masks(masks)
    largest = of_largest(own)
    ranked = ranking_columns(object_columns(masks))
    points = settings.n_curve_points
    return {
        "auc": auc_table(split, scores, resamples, each),
        "iou": as_frame(SPLIT_TABLES["iou"], iou_rows(scores.views, resamples)),
        "curves": blocks_as_frame(curves(ious_of(scores.models), masks, points)),
        "correlation": correlation_table(own),
        "statistics": statistic_table(split, own, resamples, each),
        # One point fewer than for curves that begin at 0: where nothing is kept, there is no risk.
        "coverage": blocks_as_frame(coverage_curves(largest, points - 1)),
        "reliability": as_frame(SPLIT_TABLES["reliability"], reliability_rows(own, resamples)),
        "promises": promise_table(largest, resamples),
        "pixels": as_frame(SPLIT_TABLES["pixels"], pixel_rows(scores.pixels, resamples)),
        "objects": object_blocks(scores, masks),
        "ranking": (block[ranked] for block in object_blocks(scores, masks)),
    }


def auc_table(split: str, scores: SplitScores, resamples: Resamples, each: Each) -> pd.DataFrame:
    """AUC of every measure, with intervals."""
    with counted(each, f"evaluate {split}", n_measures(scores.models)) as each_counted:
        return as_frame(SPLIT_TABLES["auc"], auc_rows(scores.models, resamples, each_counted))


def statistic_table(
    split: str, masks: Sequence[JudgedMasks], resamples: Resamples, each: Each
) -> pd.DataFrame:
    """Statistics of every measure, with intervals."""
    n = sum(len(one.measures) for one in masks)
    with counted(each, f"statistics {split}", n) as each_counted:
        return as_frame(SPLIT_TABLES["statistics"], statistic_rows(masks, resamples, each_counted))


def promise_table(masks: Sequence[JudgedMasks], resamples: Resamples) -> pd.DataFrame:
    """What every promise by every measure keeps."""
    return as_frame(SPLIT_TABLES["promises"], promise_rows(masks, resamples.group))


def correlation_table(masks: Iterable[JudgedMasks]) -> pd.DataFrame:
    """Pearson correlations of the measures, below one another for each model and train split."""
    return pd.concat(correlations(masks), ignore_index=True)


@contextmanager
def counted(each: Each, title: str, n: int) -> Iterator[Each]:
    """The same ``map``, which shows how many of all measures are done."""
    with progress(title, n, "measures") as advance:

        def counting(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
            for result in each(work, items):
                yield result
                advance(1)

        yield counting


def object_columns(masks: Iterable[JudgedMasks]) -> list[str]:
    """Columns of the table of objects; measures of heads are named ``<measure>@<train split>``."""
    measures = (_column(*key) for one in masks for key in one.measures)
    return list(dict.fromkeys((*SPLIT_TABLES["objects"].columns, *measures)))


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
