"""Reads and writes the tuning of a head: chosen hyperparameters, all trials, log of a study."""

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.heads.kinds import KINDS_BY_NAME, Boosting, Hyperparameters, OneCycle, Trial
from storage.errors import DataError
from storage.folders import whole_file
from storage.outputs.csv_forms import TRIALS
from storage.outputs.records import FILES, append_line, read_lines, read_record, write_record
from storage.paths import WORK, remedy


@dataclass(frozen=True)
class Tuning:
    """The hyperparameters of the heads of one kind and objective.

    Attributes
    ----------
    plan
        The chosen hyperparameters, or the plan that the kind of heads has of its own.
    cost
        Validation error of the best trial; None if no trial was run and ``plan`` is the default.
    n_trials
        Number of trials that were run.
    seed
        Seed of the study, and of dividing its images into those for training and for validation.
    """

    plan: Hyperparameters | OneCycle | Boosting
    cost: float | None
    n_trials: int
    seed: int


def study_dir(split: str, objective: str, digest: str) -> Path:
    """Folder of an unfinished search for a head's hyperparameters; ``digest`` is of its inputs."""
    return WORK / "tune" / split / objective / digest


def write_tuning(path: Path, tuning: Tuning, ranked: Iterable[Trial]) -> None:
    """Write the chosen hyperparameters as a record (JSON), and the trials as CSV beside it.

    ``ranked`` are the trials from the best to the worst.
    """
    trials = path.with_suffix(".csv")
    write_trials(trials, ranked)
    choice = asdict(tuning)
    write_record(path, {"hyperparameters": choice.pop("plan"), **choice}, [trials])


def read_tuning(path: Path) -> Tuning:
    """Read the hyperparameters that ``write_tuning`` wrote.

    Raises a DataError if the file is missing (usually because ``tune`` has not run), was edited, or
    belongs to another objective.
    """
    choice = read_record(path, "tune")
    objectives = [Path(name).stem for name in choice.pop(FILES)]
    if objectives != [path.stem]:
        raise DataError(
            f"{path} must be the tuning of {path.stem}, got that of {', '.join(objectives)}"
            f"{remedy(path)}"
        )
    try:
        own_plan = KINDS_BY_NAME[path.parent.name].plan
        plan_type = type(own_plan) if own_plan else Hyperparameters
        return Tuning(plan_type(**choice.pop("hyperparameters")), **choice)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path} must be written by the stage tune, got {error}") from error


def write_trials(path: Path, ranked: Iterable[Trial]) -> None:
    """Write trials, given from the best to the worst, as CSV with their ranks."""
    with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        # Not by pandas, whose import takes longer than a stage without trials.
        table = csv.DictWriter(file, TRIALS.columns, lineterminator="\n")
        table.writeheader()
        for rank, trial in enumerate(ranked, start=1):
            table.writerow({"rank": rank, "mse": trial.mse, **asdict(trial.plan)})


def append_trial(path: Path, trial: Trial) -> None:
    """Append a finished trial to the log file of a study."""
    append_line(path, {"mse": trial.mse, **asdict(trial.plan)})


def read_log(path: Path) -> list[Trial]:
    """Read the trials in a study's log file, but lines cut short; a missing file has none."""
    lines = read_lines(path)
    errors = [line.pop("mse") for line in lines]
    return [Trial(Hyperparameters(**line), mse) for line, mse in zip(lines, errors, strict=True)]
