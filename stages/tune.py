"""Stage ``tune``: hyperparameters of one head, searched by SMAC3 or taken from the params.

Reads   ``params.yaml:tune``; with trials also ``cache/objects/<train split>.zarr``,
        ``cache/features/<train split>`` (identity) and ``params.yaml:extract``, which the cells
        must match.
Writes  ``heads/<train split>/tuning/<kind>/``: ``<objective>.json`` and, every trial,
        ``<objective>.csv``. Kinds of heads with a plan of their own have that, and no trial.
"""

import shutil

from pipeline.heads.kinds import HEAD_KINDS, Hyperparameters, Trial
from pipeline.vocabulary import objectives_of
from stages.program.main import check_unchanged, stage_main
from stages.settings.params import cache_location, read_params
from stages.settings.parsing import check_known
from stages.settings.signatures import train_settings
from storage.outputs.tuning import Tuning, write_tuning
from storage.paths import tuning_path


@stage_main
def main(split: str, objective: str) -> None:
    """Choose the hyperparameters of the heads of one objective, and write them with the trials.

    The choice is the trial with the lowest validation error or, with 0 trials, the hyperparameters
    of the settings. Kinds of heads with a plan of their own keep it.
    """
    params = read_params()
    check_known("train split", split, params.train_splits)
    check_known("objective", objective, objectives_of(params.models))
    tune = params.tune
    trials, folder = list[Trial](), None
    if tune.n_trials:
        # Imported here: the import takes seconds, and a stage of 0 trials does not need it.
        from stages.executor.opened_cells import CellsToOpen  # noqa: PLC0415
        from stages.training.search import Study, search  # noqa: PLC0415

        expected = train_settings(params.extract, split, params.models, params.train_prompts)
        cells = CellsToOpen(split, expected, cache_location())
        trials, folder = search(Study(cells, objective, tune), params.executor)
    default = Hyperparameters(tune.epochs, tune.batch_size, tune.learning_rate, tune.momentum)
    ranked = sorted(trials, key=lambda trial: trial.mse)
    plan, cost = (ranked[0].plan, ranked[0].mse) if ranked else (default, None)
    tuning = Tuning(plan=plan, cost=cost, n_trials=tune.n_trials, seed=tune.seed)
    check_unchanged()
    for kind in HEAD_KINDS:
        own = Tuning(plan=kind.plan, cost=None, n_trials=0, seed=tune.seed) if kind.plan else None
        path = tuning_path(split, kind.name, objective)
        write_tuning(path, own or tuning, [] if own else ranked)
    if folder is not None:
        # With the log of this study, `dvc repro -f` would reuse every trial and train nothing.
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
