"""Stage ``evaluate``: entropies, scores and heads in, AUC and correlations out.

Reads   ``params.yaml:evaluate``, ``cache/objects/<split>.zarr``, ``cache/entropy/<split>.zarr``,
        ``cache/features/<split>``, ``heads/<train split>``; ``params.yaml:extract``, to hold the
        cells to it.
Writes  ``results/splits/<split>/``: ``auc.csv``, ``iou.csv``, ``curves.csv``,
        ``correlation.csv``, ``statistics.csv``, ``coverage.csv``, ``reliability.csv``,
        ``promises.csv``, ``pixels.csv``, ``objects.csv``, ``ranking.csv``, ``run.json``.
"""

from pipeline.gallery.choice import ranking_columns
from pipeline.scoring.bootstrap import resample_groups
from pipeline.scoring.measured import judged_masks, own_masks
from stages.evaluation.tables import (
    auc_table,
    correlation_table,
    curve_table,
    iou_table,
    object_blocks,
    object_columns,
    pixel_table,
)
from stages.evaluation.use import use_tables
from stages.executor.maps import map_by
from stages.heads.data import faults_of
from stages.heads.judged import read_scores
from stages.shell.asked import asked_of_eval
from stages.shell.params import read_params
from stages.shell.program import cache_location, stage_main
from stages.shell.rules import check_known
from stages.shell.unchanged import check_unchanged
from storage.outputs.files import Table
from storage.outputs.results import write_results
from storage.paths import results_dir
from storage.split.cells import open_cells


@stage_main
def main(split: str) -> None:
    """Evaluate every measure on one eval split."""
    params = read_params()
    check_known("eval split", split, params.eval_splits)
    views = [params.view(name) for name in params.views]
    asked = asked_of_eval(params.extract, params.models, views, params.extra_prompts)
    cells = open_cells(split, asked, cache=cache_location())
    scores = read_scores(cells, params.train_splits, kinds=params.heads, ablations=params.ablations)
    resamples = resample_groups(scores.group, params.evaluate.n_resamples, params.evaluate.seed)
    run = {
        "split": split,
        "n_objects": len(scores.object_id),
        "n_groups": resamples.n_drawn.shape[1],
        "n_resamples": params.evaluate.n_resamples,
        **scores.inputs,
    }
    with faults_of(split), map_by(params.executor, "measure") as each:
        masks = judged_masks(scores.models)
        own = own_masks(masks)
        ranked = ranking_columns(object_columns(masks))
        tables: dict[str, Table] = {
            "auc": auc_table(split, scores, resamples, each),
            "iou": iou_table(scores, resamples),
            "curves": curve_table(scores, masks, params.evaluate.n_curve_points),
            "correlation": correlation_table(own),
            "pixels": pixel_table(scores, resamples),
            **use_tables(split, own, resamples, params.evaluate, each),
            "objects": object_blocks(scores, masks),
            "ranking": (block[ranked] for block in object_blocks(scores, masks)),
        }
        check_unchanged()
        write_results(results_dir(split), tables, run)


if __name__ == "__main__":
    main()
