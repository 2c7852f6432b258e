"""Stage ``evaluate``: entropies, scores and heads in, AUC and correlations out.

Reads   ``params.yaml:evaluate``, ``cache/objects/<split>.zarr``, ``cache/entropy/<split>.zarr``,
        ``cache/features/<split>``, ``heads/<train split>``; ``params.yaml:extract``, to hold the
        cells to it.
Writes  ``results/splits/<split>/``: ``auc.csv``, ``iou.csv``, ``curves.csv``,
        ``correlation.csv``, ``statistics.csv``, ``coverage.csv``, ``reliability.csv``,
        ``promises.csv``, ``objects.csv``, ``ranking.csv``, ``run.json``.
"""

from dataclasses import asdict

import pandas as pd

from pipeline.gallery.choice import ranking_columns
from pipeline.scoring.bootstrap import Resamples, resample_groups
from pipeline.scoring.measures import model_measures, predicted_iou
from pipeline.scoring.rows import JUDGED_BY_PROTOCOL, auc_rows, iou_rows, n_measures
from pipeline.scoring.tasks import correlations, curves
from stages.evaluation.use import bounds, use_tables
from stages.heads.data import faults_of
from stages.heads.judged import SplitScores, read_scores
from stages.shell.asked import asked_of_cells, eval_cells
from stages.shell.edge import stage_main
from stages.shell.params import read_params
from stages.shell.progress import progress
from stages.shell.rules import check_known
from stages.shell.unchanged import check_unchanged
from storage.outputs.results import SplitResults, write_results
from storage.paths import results_dir
from storage.split.cells import open_cells


@stage_main
def main(split: str) -> None:
    """Evaluate every measure on one eval split."""
    params = read_params()
    check_known("eval split", split, params.eval_splits)
    views = [params.view(name) for name in params.views]
    asked = asked_of_cells(params.extract, eval_cells(split, params.models, views))
    scores = read_scores(open_cells(split, asked), params.train_splits, ablations=params.ablations)
    resamples = resample_groups(scores.group, params.evaluate.n_resamples, params.evaluate.seed)
    run = {
        "split": split,
        "n_objects": len(scores.object_id),
        "n_groups": resamples.n_drawn.shape[1],
        "n_resamples": params.evaluate.n_resamples,
        **scores.inputs,
    }
    objects = _object_table(scores)
    with faults_of(split):
        results = SplitResults(
            auc=_auc_table(split, scores, resamples),
            iou=_iou_table(scores, resamples),
            curves=_curve_table(scores, params.evaluate.n_curve_points),
            correlation=_correlation_table(scores),
            **use_tables(split, scores.models, resamples, params.evaluate),
            objects=objects,
            ranking=objects[ranking_columns(list(objects.columns))],
            run=run,
        )
    check_unchanged()
    write_results(results_dir(split), results)


def _auc_table(split: str, scores: SplitScores, resamples: Resamples) -> pd.DataFrame:
    with progress(f"evaluate {split}", n_measures(scores.models), "measures") as advance:
        rows = auc_rows(scores.models, resamples, advance)
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


def _iou_table(scores: SplitScores, resamples: Resamples) -> pd.DataFrame:
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


def _curve_table(scores: SplitScores, n_points: int) -> pd.DataFrame:
    return pd.concat(
        [pd.DataFrame(vars(curve)) for curve in curves(scores.models, n_points)],
        ignore_index=True,
    )


def _correlation_table(scores: SplitScores) -> pd.DataFrame:
    blocks = []
    for found in correlations(scores.models):
        block = found.pearson.reset_index(names="row")
        block.insert(0, "protocol", found.protocol)
        block.insert(1, "train_split", found.train_split)
        block.insert(2, "model", found.model)
        blocks.append(block)
    return pd.concat(blocks, ignore_index=True)


def _object_table(scores: SplitScores) -> pd.DataFrame:
    """IoU and measures of each object; measures of heads are named ``<measure>@<train split>``."""
    blocks = []
    for protocol, judged in JUDGED_BY_PROTOCOL:
        for model, said in scores.models.items():
            found = model_measures(said, model, protocol=protocol, judged=judged)
            measures = {
                f"{name}@{train_split}" if train_split else name: predicted_iou(name, value)
                for (train_split, name), value in found.items()
            }
            columns = {
                "protocol": protocol,
                "judged": judged,
                "object_id": scores.object_id,
                "model": model,
                "iou": said.proposals.judged_iou(judged),
                **{f"{name}_iou": iou for name, iou in said.proposals.by_proposal().items()},
                "group": scores.group,
            }
            blocks.append(pd.DataFrame(columns | measures))
    return pd.concat(blocks, ignore_index=True)


if __name__ == "__main__":
    main()
