"""Stage ``evaluate``: entropies, predictions and heads in, scores of every measure out.

Reads   ``params.yaml:evaluate``, ``cache/objects/<split>.zarr``, ``cache/entropy/<split>.zarr``,
        ``cache/features/<split>``, ``heads/<train split>``; of splits that several persons
        outlined, ``cache/masks/<split>`` (view identity); to check the cells and heads,
        ``params.yaml:extract`` and, if it exists, ``cache/features/<train split>``.
Writes  ``results/splits/<split>/``: ``scores.csv``, ``curves.csv``, ``correlation.csv``,
        ``reliability.csv``, ``objects.csv``, ``annotations.csv``, ``ranking.csv``, ``run.json``.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import pandas as pd

from pipeline.annotations import annotation_table
from pipeline.better_masks import better_mask_scores
from pipeline.gallery import ranking_columns
from pipeline.mask_sets import set_scores
from pipeline.scoring import corrections, tasks, usefulness
from pipeline.scoring.bootstrap import Resamples, resample_groups, scores
from pipeline.scoring.calibration import reliability_bins
from pipeline.scoring.people import people_scores
from stages.executor.tasks import in_threads
from stages.program.main import check_unchanged, stage_main
from stages.program.progress import counting, progress
from stages.settings.blocks import EvaluateParams
from stages.settings.params import cache_location, read_params
from stages.settings.parsing import check_known
from stages.settings.signatures import eval_settings, train_settings
from stages.split_predictions import (
    SplitPredictions,
    object_blocks,
    object_columns,
    read_predictions,
)
from stages.training.data import learned_from
from storage.errors import faults_of
from storage.outputs.csv_forms import SPLIT_TABLES
from storage.outputs.results import write_results
from storage.outputs.tables import Frames, as_frame, blocks_as_frame
from storage.paths import results_dir
from storage.split.split_cells import open_cells


@stage_main
def main(split: str) -> None:
    """Compute the scores of every measure on an eval split, and write the tables of results."""
    params = read_params()
    check_known("eval split", split, params.eval_splits)
    views = [params.view(name) for name in params.views]
    expected = eval_settings(params.extract, split, params.models, views, params.extra_prompts)
    cells = open_cells(split, expected, cache=cache_location())
    learned = {
        name: learned_from(
            name,
            train_settings(
                params.extract, name, params.models, params.train_prompts, params.train_views
            ),
            cache_location(),
        )
        for name in params.train_splits
    }
    predictions = read_predictions(
        cells,
        learned,
        kinds=params.heads,
        ablations=params.ablations,
        further_seeds=params.train.seeds[1:],
    )
    if cells.table.person_rle is not None:
        # Imported here: its numba takes a second, and few splits have several persons.
        from stages.people_segments import read_people  # noqa: PLC0415

        settings = {name: expected[name] for name in expected if name[1] == "identity"}
        with_masks = open_cells(split, settings, with_masks=True, cache=cache_location())
        predictions = replace(predictions, people=read_people(with_masks))
    _write_results(split, predictions, params.evaluate)


def _write_results(split: str, predictions: SplitPredictions, settings: EvaluateParams) -> None:
    resamples = resample_groups(predictions.group, settings.n_resamples, settings.seed)
    run = {
        "split": split,
        "n_objects": len(predictions.object_id),
        "n_groups": resamples.n_groups,
        "n_resamples": settings.n_resamples,
        **predictions.inputs,
    }
    with faults_of(split):
        tables = split_tables(split, predictions, resamples, settings.n_curve_points)
        check_unchanged()
        write_results(results_dir(split), tables, run)


def split_tables(
    split: str, predictions: SplitPredictions, resamples: Resamples, n_points: int
) -> dict[str, Frames]:
    """Make the tables of an eval split by name: those of ``SPLIT_TABLES`` and ``ranking``.

    ``objects`` and ``ranking`` are iterators of blocks, which are computed when they are written.

    Parameters
    ----------
    resamples
        Resamples of images or videos, from which intervals are computed.
    n_points
        Number of points of a correction curve.
    """
    models = predictions.models
    masks = tasks.judged_masks(models)
    own_masks = tasks.own_masks(masks)
    ranked = ranking_columns(object_columns(masks))
    return {
        "scores": _scores(split, predictions, resamples, masks),
        "curves": blocks_as_frame(corrections.curves(tasks.ious_of(models), masks, n_points)),
        "correlation": pd.concat(corrections.correlations(own_masks), ignore_index=True),
        "reliability": as_frame(
            SPLIT_TABLES["reliability"], reliability_bins(own_masks, resamples)
        ),
        "objects": object_blocks(predictions, masks),
        "annotations": annotation_table(
            predictions.object_id,
            predictions.group,
            predictions.annotations,
            file=predictions.file,
        ),
        "ranking": (block[ranked] for block in object_blocks(predictions, masks)),
    }


def _scores(
    split: str,
    predictions: SplitPredictions,
    resamples: Resamples,
    masks: Sequence[tasks.JudgedMasks],
) -> pd.DataFrame:
    """Make the table ``scores``: the statistics of all measures, masks and guarantees of a split.

    The progress bar counts the measures twice: for the AUC, then for the other statistics.
    """
    models, own_masks = predictions.models, tasks.own_masks(masks)
    largest = tasks.shown_model(list(models))
    n = sum(len(judged.measures_of_tokens) for judged in tasks.trained_masks(models))
    n += sum(len(judged.measures) for judged in own_masks)
    with progress(f"evaluate {split}", n, "measures") as advance:

        def counted(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
            return counting(in_threads(work, items), advance)

        iou = models[largest].proposals.iou
        measured = chain(
            corrections.auc_scores(models, resamples, counted),
            corrections.iou_scores(predictions.views, resamples),
            usefulness.usefulness_scores(own_masks, resamples, counted),
            set_scores(largest, predictions.predicted, iou, resamples),
            better_mask_scores(predictions.mask_ious, resamples),
            people_scores(tasks.trained_masks(models), predictions.people, resamples),
        )
        return as_frame(SPLIT_TABLES["scores"], scores(measured, resamples.n_groups))


if __name__ == "__main__":
    main()
