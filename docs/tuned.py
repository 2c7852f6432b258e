"""Compares the facades of ``tune`` on drawn scenes: ``python -m docs.tuned [SEED...]``.

Reads   objects and features of ``shapes_train``, as ``make demo`` leaves them.
Writes  the part of ``docs/heads.md`` between ``<!-- tuned -->`` and ``<!-- /tuned -->``, and of
        ``docs/speed.md`` between ``<!-- bars-tuned -->`` and ``<!-- /bars-tuned -->``;
        ``cache/work/tuned``, from which an interrupted run goes on. It takes no account of edits:
        remove the folder after one.

Each seed takes some minutes. Processes that are given seeds of their own may run side by side; the
one that finds all there writes the tables.
"""

import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, get_args

import numpy as np
import torch
from scipy.stats import t as student

from docs.bars import PAGE as BARS_PAGE
from docs.bars import Bar, machine, table
from docs.blocks import replace_block
from pipeline.heads.hyperparameters import RANGES, Hyperparameters, rank_trials
from pipeline.heads.objectives import TrainingSet
from pipeline.heads.training import Rows
from pipeline.heads.trial_cost import validation_cost
from stages.shell.asked import asked_of_train
from stages.shell.params import read_params
from stages.shell.place import cache_place
from stages.shell.progress import progress
from stages.training.data import read_head_data
from stages.training.search import TUNED, cost_of_trials, rows_of_trials
from stages.training.study import ETA, Facade, run_study
from storage.folders import whole_file
from storage.split.cells import open_cells

PAGE: Final = Path("docs") / "heads.md"
FOLDER: Final = Path("cache") / "work" / "tuned"

SPLIT: Final = "shapes_train"
OBJECTIVE: Final = "iou_tiny"
N_TRIALS: Final = 50
"""Half of the paper's."""

MAX_OBJECTS: Final = 400
"""About a quarter of the split's."""

SEEDS: Final = range(5)
"""Of the search, of its images and of its heads."""

FACADES: Final[tuple[Facade, ...]] = get_args(Facade)

N_JUDGING: Final = 3
"""Trainings that judge a choice, from other weights and batches than its trials had."""

FIRST_JUDGING: Final = 1000

MOST_TIME: Final = 1 / 3
MOST_ERROR: Final = 1.02
"""Of multifidelity over full: the bars."""

CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class Study:
    """What a study took and chose."""

    seconds: float
    """Of the processor, the training of trials and SMAC3's own work together."""
    epochs: int
    """That its trials had together, those apart that a head had before it went on."""
    plan: Hyperparameters
    error: float
    """Validation error of the choice, mean over ``N_JUDGING`` trainings."""


def main() -> None:
    """Run the studies of the given seeds, all by default, and write if all are there."""
    torch.set_num_threads(1)
    seeds = [int(seed) for seed in sys.argv[1:]] or list(SEEDS)
    lacking = [(s, facade) for s in seeds for facade in FACADES if not _path(facade, s).exists()]
    if lacking:
        data, n_models = _data()
        with progress("studies", len(lacking), "studies") as advance:
            for seed, facade in lacking:
                learned, rows = rows_of_trials(data, MAX_OBJECTS, n_models, seed)
                _keep(_path(facade, seed), study(facade, learned, rows, seed))
                advance(1)
    paths = {(facade, seed): _path(facade, seed) for seed in SEEDS for facade in FACADES}
    if all(path.exists() for path in paths.values()):
        _write({key: _kept(path) for key, path in paths.items()})


def _data() -> tuple[TrainingSet, int]:
    params = read_params()
    cells = open_cells(SPLIT, asked_of_train(params.extract, params.models), cache=cache_place())
    return read_head_data(cells, TUNED), len(cells.models)


def study(facade: Facade, learned: TrainingSet, rows: Rows, seed: int) -> Study:
    """Run a study and judge its choice."""
    cost = cost_of_trials(facade, learned, rows, OBJECTIVE, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        trials = run_study(
            cost, Path(folder), n_trials=N_TRIALS, seed=seed, advance=lambda _: None, facade=facade
        )
        seconds = time.process_time() - started
    plan = rank_trials(trials)[0].plan
    judging = range(FIRST_JUDGING, FIRST_JUDGING + N_JUDGING)
    errors = [validation_cost(learned, rows, OBJECTIVE, plan, seed=one) for one in judging]
    return Study(
        seconds, n_epochs(facade, [one.plan for one in trials]), plan, float(np.mean(errors))
    )


def n_epochs(facade: Facade, plans: Sequence[Hyperparameters]) -> int:
    """Epochs that were trained; of multifidelity, a head that goes on had those before."""
    if facade == "full":
        return sum(plan.epochs for plan in plans)
    had: dict[tuple[float, ...], int] = {}
    for plan in plans:
        head = (plan.batch_size, plan.learning_rate, plan.momentum)
        had[head] = max(had.get(head, 0), plan.epochs)
    return sum(had.values())


def planned_epochs(n_trials: int, eta: int, *, is_hyperband: bool) -> int:
    """Epochs that successive halving trains in so many trials, or Hyperband.

    Notes
    -----
    Hyperband's later rounds begin with fewer heads of more epochs (Li et al., JMLR 2018); heads
    that are promoted go on.
    """
    least, most = map(int, RANGES["epochs"])
    n_stages = int(math.log(most / least, eta) + 1e-9) + 1
    rounds = range(n_stages) if is_hyperband else [0]
    given: list[float] = []
    while len(given) < n_trials:
        for first in rounds:
            n_more = n_stages - 1 - first
            n_heads, had = math.ceil(n_stages / (n_more + 1) * eta**n_more), 0.0
            for more in range(n_more, -1, -1):
                epochs = most / eta**more
                given += [epochs - had] * n_heads
                n_heads, had = max(n_heads // eta, 1), epochs
    return round(sum(given[:n_trials]))


def ratio_over_seeds(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Geometric mean of the ratios, and its interval by Student's t."""
    logs = np.log(ratios)
    half = student.ppf((1 + CONFIDENCE) / 2, len(logs) - 1) * logs.std(ddof=1) / len(logs) ** 0.5
    mean, low, high = np.exp(logs.mean() + half * np.array([0, -1, 1]))
    return float(mean), float(low), float(high)


def _path(facade: Facade, seed: int) -> Path:
    return FOLDER / f"{facade}-{seed}.json"


def _keep(path: Path, found: Study) -> None:
    with whole_file(path) as partial:
        partial.write_text(json.dumps(asdict(found)), encoding="utf-8")


def _kept(path: Path) -> Study:
    record = json.loads(path.read_text(encoding="utf-8"))
    return Study(**record | {"plan": Hyperparameters(**record["plan"])})


def _write(found: Mapping[tuple[Facade, int], Study]) -> None:
    times, errors = (
        [
            getattr(found["multifidelity", seed], name) / getattr(found["full", seed], name)
            for seed in SEEDS
        ]
        for name in ("seconds", "error")
    )
    replace_block(PAGE, "tuned", f"\n{_table(found, times, errors)}\n")
    what = f"`tune` by `multifidelity`, over `full`, {len(SEEDS)} seeds"
    bars = [
        Bar(f"{what}: processor time", ratio_over_seeds(times)[0], at_most=MOST_TIME),
        Bar(f"{what}: error of the choice", ratio_over_seeds(errors)[0], at_most=MOST_ERROR),
    ]
    replace_block(BARS_PAGE, "bars-tuned", f"\n{table(bars, machine())}\n")


def _table(
    found: Mapping[tuple[Facade, int], Study], times: Sequence[float], errors: Sequence[float]
) -> str:
    columns = [f"{facade}: {what}" for facade in FACADES for what in ("s", "epochs", "error")]
    header = ["seed", *columns, "time", "error"]
    lines = [header, ["---"] + ["---:"] * (len(header) - 1)]
    for seed, time_ratio, error_ratio in zip(SEEDS, times, errors, strict=True):
        studies = [found[facade, seed] for facade in FACADES]
        cells = [
            text
            for one in studies
            for text in (f"{one.seconds:.0f}", f"{one.epochs:,}", f"{one.error:.5f}")
        ]
        lines.append([str(seed), *cells, f"{time_ratio:.2f}", f"{error_ratio:.3f}"])
    said = [
        f"{what} {mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
        for what, digits, (mean, low, high) in (
            ("time", 2, ratio_over_seeds(times)),
            ("error", 3, ratio_over_seeds(errors)),
        )
    ]
    return (
        f"`{OBJECTIVE}`, {N_TRIALS} trials each, {MAX_OBJECTS} objects of `{SPLIT}`:\n\n"
        + "\n".join(f"| {' | '.join(line)} |" for line in lines)
        + f"\n\nMultifidelity over full, geometric mean over the seeds with its 95 % interval: "
        f"{', '.join(said)}.\n\n"
        f"Epochs that {N_TRIALS} trials train: {_ways()}."
    )


def _ways() -> str:
    drawn = N_TRIALS * sum(RANGES["epochs"]) / 2
    hyperband = {eta: planned_epochs(N_TRIALS, eta, is_hyperband=True) for eta in (3, ETA)}
    halving = {eta: planned_epochs(N_TRIALS, eta, is_hyperband=False) for eta in (3, ETA)}
    return ", ".join(
        [
            f"{drawn:,.0f} if their epochs are drawn from the range",
            *(f"{epochs:,} by Hyperband with η {eta}" for eta, epochs in hyperband.items()),
            *(f"{epochs:,} by successive halving with η {eta}" for eta, epochs in halving.items()),
        ]
    )


if __name__ == "__main__":
    main()
