"""Stage ``evaluate``: entropies, predictions and heads in, scores of every measure out.

Reads   ``params.yaml:evaluate``, ``cache/objects/<split>.zarr``, ``cache/entropy/<split>.zarr``,
        ``cache/features/<split>``, ``heads/<train split>``; of splits that several persons
        outlined, ``cache/masks/<split>`` (view identity); to check the cells and heads,
        ``params.yaml:extract`` and, if it exists, ``cache/features/<train split>``.
Writes  ``results/splits/<split>/``: ``scores.csv``, ``curves.csv``, ``correlation.csv``,
        ``reliability.csv``, ``objects.csv``, ``annotations.csv``, ``ranking.csv``, ``run.json``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, product
from typing import Any

import pandas as pd
import xarray

from pipeline.better_masks import better_mask_scores
from pipeline.gallery import ranking_columns
from pipeline.mask_sets import set_scores
from pipeline.scoring import corrections, tasks, usefulness
from pipeline.scoring.bootstrap import Resamples, resample_groups, scores
from pipeline.scoring.calibration import reliability_bins
from pipeline.scoring.evidence import ModelScores
from pipeline.scoring.people import drawn_scores, people_scores
from pipeline.scoring.scores import Score
from pipeline.vocabulary import DRAWN_CLICK, SINGLE_CLICKS
from stages.executor.tasks import in_threads
from stages.program.main import check_unchanged, stage_main
from stages.program.progress import counting, progress
from stages.settings.params import cache_location, read_params
from stages.settings.parsing import check_known
from stages.settings.signatures import eval_settings, train_settings
from stages.split_predictions import (
    SplitHeads,
    click_scores,
    doubted_annotations,
    mask_ious,
    model_scores,
    object_blocks,
    object_columns,
    predicted_of_largest,
    read_split_heads,
)
from stages.training.data import group_index, learned_from
from storage.errors import faults_of
from storage.outputs.results import write_results
from storage.outputs.tables import Frames
from storage.paths import results_dir
from storage.split.split_cells import SplitCells, open_cells, read_entropies


@stage_main
def main(split: str) -> None:
    """Compute the scores of every measure on an eval split, and write the tables of results."""
    params = read_params()
    check_known("eval split", split, params.eval_splits)
    views = [params.view(name) for name in params.views]
    expected = eval_settings(params.extract, split, params.models, views, params.extra_prompts)
    cells = open_cells(split, expected, cache=cache_location())
    inputs = params.models, params.train_prompts, params.train_views
    learned = {
        name: learned_from(name, train_settings(params.extract, name, *inputs), cache_location())
        for name in params.train_splits
    }
    heads = read_split_heads(
        cells,
        learned,
        kinds=params.heads,
        ablations=params.ablations,
        further_seeds=params.train.seeds[1:],
    )
    entropy = read_entropies(cells)
    models = model_scores(cells, entropy, heads)
    settings = params.evaluate
    resamples = resample_groups(group_index(cells.table), settings.n_resamples, settings.seed)
    run = {
        "split": split,
        "n_objects": cells.table.n_objects,
        "n_groups": resamples.n_groups,
        "n_resamples": settings.n_resamples,
        "models": {model: cell.signature for model, cell in cells.identity.items()},
        "entropy": entropy.attrs["signature"],
        "heads": heads.metadata(cells.models),
    }
    with faults_of(split):
        rows = [*_scores(cells, entropy, heads, models, resamples)]
        if cells.table.segments_of_persons:
            of_identity = {name: expected[name] for name in expected if name[1] == "identity"}
            cells_of_masks = open_cells(split, of_identity, with_masks=True, cache=cache_location())
            rows += _scores_of_people(cells_of_masks, entropy, heads, models, resamples)
        tables = {
            "scores": pd.DataFrame([score.row for score in rows]),
            "annotations": doubted_annotations(cells, heads, resamples.group),
            **_tables_of_measures(cells, models, resamples, settings.n_curve_points),
        }
        check_unchanged()
        write_results(results_dir(split), tables, run)


def _scores(
    cells: SplitCells,
    entropy: xarray.Dataset,
    heads: SplitHeads,
    models: Mapping[str, ModelScores],
    resamples: Resamples,
) -> Iterator[Score]:
    """Yield the statistics of all measures, masks and guarantees of a split.

    The progress bar counts the measures twice: for the AUC, then for the other statistics.
    """
    trained, masks = tasks.trained_masks(models), tasks.own_masks(tasks.judged_masks(models))
    largest = tasks.shown_model(cells.models)
    views = sorted(cells.views, key=lambda view: view != "identity")
    proposals = {key: cells.by_name[key].proposals() for key in product(cells.models, views)}
    n = sum(len(judged.measures_of_tokens) for judged in trained)
    n += sum(len(judged.measures) for judged in masks)
    with progress(f"evaluate {cells.split}", n, "measures") as advance:

        def counted(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
            return counting(in_threads(work, items), advance)

        measured = chain(
            corrections.auc_scores(models, resamples, counted),
            corrections.iou_scores(proposals, resamples),
            usefulness.usefulness_scores(masks, resamples, counted),
            set_scores(
                largest,
                predicted_of_largest(cells, heads),
                proposals[largest, "identity"].iou,
                resamples,
            ),
            better_mask_scores(mask_ious(cells, entropy, heads), resamples),
        )
        yield from scores(measured, resamples.n_groups)


def _scores_of_people(
    cells: SplitCells,
    entropy: xarray.Dataset,
    heads: SplitHeads,
    models: Mapping[str, ModelScores],
    resamples: Resamples,
) -> Iterator[Score]:
    """Yield how masks and measures compare with the segments of several persons.

    ``cells`` are those of the view ``identity``, opened with masks.
    """
    # Imported here: its numba takes a second, and few splits have several persons.
    from stages.people_segments import click_entropies, read_people  # noqa: PLC0415

    people = read_people(cells)
    yield from people_scores(tasks.trained_masks(models), people[SINGLE_CLICKS[0]], resamples)
    if DRAWN_CLICK in people:
        entropies = click_entropies(cells, DRAWN_CLICK)
        of_drawn = click_scores(cells, entropy, heads, DRAWN_CLICK, entropies)
        yield from drawn_scores(of_drawn, people[DRAWN_CLICK], resamples)


def _tables_of_measures(
    cells: SplitCells, models: Mapping[str, ModelScores], resamples: Resamples, n_points: int
) -> dict[str, Frames]:
    """Make the tables of single measures, by name.

    ``objects`` and ``ranking`` are iterators of blocks, which are computed when they are written;
    ``n_points`` is the number of points of a correction curve.
    """
    masks = tasks.judged_masks(models)
    own_masks = tasks.own_masks(masks)
    ranked = ranking_columns(object_columns(masks))
    of_objects = cells.table.object_id, resamples.group, masks
    return {
        "curves": pd.concat(
            corrections.curves(tasks.ious_of(models), masks, n_points), ignore_index=True
        ),
        "correlation": pd.concat(corrections.correlations(own_masks), ignore_index=True),
        "reliability": pd.DataFrame(reliability_bins(own_masks, resamples)),
        "objects": object_blocks(*of_objects),
        "ranking": (block[ranked] for block in object_blocks(*of_objects)),
    }


if __name__ == "__main__":
    main()
