"""Stage ``train``: features of a train split in, trained heads of a kind out.

Reads   ``params.yaml:train``, ``cache/objects/<split>.zarr``, ``cache/features/<split>``,
        ``heads/<split>/tuning/<kind>``; ``params.yaml:extract``, which the cells must match.
Writes  ``heads/<split>/<kind>/``: ``<protocol>/<tokens>.safetensors``, of each seed after the first
        ``<tokens>-seed<seed>.safetensors``; ``isotonic.json``.
"""

from collections.abc import Sequence

from pipeline.heads.kinds import HeadSet, head_sets
from pipeline.heads.training import Plan
from pipeline.vocabulary import objectives_of
from stages.executor.opened_cells import CellsToOpen, opened
from stages.program.main import check_unchanged, stage_main
from stages.settings.params import cache_location, read_params
from stages.settings.parsing import check_known
from stages.settings.signatures import train_settings
from stages.training.fit import fit_sets, heads_to_fit
from stages.training.trained import Tunings, final_heads, write_heads
from storage.errors import DataError, faults_of
from storage.outputs.tuning import read_tuning
from storage.paths import tuning_path


@stage_main
def main(split: str, kind: str) -> None:
    """Train the heads of every head set of a kind on a train split, and write them."""
    params = read_params()
    check_known("train split", split, params.train_splits)
    check_known("kind of heads", kind, params.heads)
    expected = train_settings(
        params.extract, split, params.models, params.train_prompts, params.train_views
    )
    to_open = CellsToOpen(split, expected, cache_location())
    cells = opened(to_open)
    tunings = {
        name: read_tuning(tuning_path(split, kind, name)) for name in objectives_of(params.models)
    }
    first_seed, *further_seeds = params.train.seeds
    sets = head_sets(params.ablations, kinds=(kind,), further_seeds=tuple(further_seeds))
    seeds = {head_set: first_seed if head_set.seed is None else head_set.seed for head_set in sets}
    judging_seed = _judging_seed(split, tunings)
    todo = {
        head_set: heads_to_fit(
            head_set,
            _plans(head_set, params.models, tunings),
            seed=seed,
            judging_seed=judging_seed,
        )
        for head_set, seed in seeds.items()
    }
    trained = {}
    with faults_of(split):
        for head_set, fitted in fit_sets(to_open, todo, params.executor):
            heads = final_heads(cells, head_set, fitted, tunings, seeds[head_set])
            trained[head_set] = heads
            for name in heads.weights:
                error = float(heads.metadata(name)["validation_mse"])
                print(f"{split} {head_set} {name}: validation error {error:.4f}")
    check_unchanged()
    write_heads(cells, kind, trained)


def _plans(head_set: HeadSet, models: Sequence[str], tunings: Tunings) -> dict[str, Plan]:
    plan = head_set.of_kind.plan
    return {name: plan or tunings[name].plan for name in head_set.objectives(models)}


def _judging_seed(split: str, tunings: Tunings) -> int:
    seeds = {name: tuning.seed for name, tuning in tunings.items()}
    if len(set(seeds.values())) > 1:
        raise DataError(f"heads of {split} must be tuned under one seed, got {seeds}")
    return next(iter(seeds.values()))


if __name__ == "__main__":
    main()
