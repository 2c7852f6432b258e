"""Stage ``evaluate``: entropies, scores and heads in, AUC and correlations out.

Reads   ``params.yaml:evaluate``, ``cache/objects/<split>.zarr``, ``cache/entropy/<split>.zarr``,
        ``cache/features/<split>``, ``heads/<train split>``; to check these,
        ``params.yaml:extract`` and, if they are there, ``cache/features/<train split>``.
Writes  ``results/splits/<split>/``: ``auc.csv``, ``iou.csv``, ``curves.csv``,
        ``correlation.csv``, ``statistics.csv``, ``coverage.csv``, ``reliability.csv``,
        ``promises.csv``, ``pixels.csv``, ``objects.csv``, ``ranking.csv``, ``run.json``.
"""

from pipeline.scoring.bootstrap import resample_groups
from stages.evaluation import read_scores, split_tables
from stages.executor.executors import map_by
from stages.program.main import check_unchanged, stage_main
from stages.settings.params import cache_location, read_params
from stages.settings.parsing import check_known
from stages.settings.signatures import eval_cells, settings_of_cells, train_cells
from stages.training.data import learned_from
from storage.errors import faults_of
from storage.outputs.results import write_results
from storage.paths import results_dir
from storage.split.split_cells import open_cells


@stage_main
def main(split: str) -> None:
    """Evaluate every measure on one eval split."""
    params = read_params()
    check_known("eval split", split, params.eval_splits)
    views = [params.view(name) for name in params.views]
    names = eval_cells(split, params.models, views, params.extra_prompts)
    cells = open_cells(split, settings_of_cells(params.extract, names), cache=cache_location())
    learned = {
        name: learned_from(
            name,
            settings_of_cells(
                params.extract, train_cells(name, params.models, params.train_prompts)
            ),
            cache_location(),
        )
        for name in params.train_splits
    }
    scores = read_scores(cells, learned, kinds=params.heads, ablations=params.ablations)
    resamples = resample_groups(scores.group, params.evaluate.n_resamples, params.evaluate.seed)
    run = {
        "split": split,
        "n_objects": len(scores.object_id),
        "n_groups": resamples.n_drawn.shape[1],
        "n_resamples": params.evaluate.n_resamples,
        **scores.inputs,
    }
    with faults_of(split), map_by(params.executor, "measure") as each:
        tables = split_tables(split, scores, resamples, params.evaluate, each)
        check_unchanged()
        write_results(results_dir(split), tables, run)


if __name__ == "__main__":
    main()
