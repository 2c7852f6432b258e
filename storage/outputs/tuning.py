"""The tuning of a head on disk: the choice, every trial, and the log of a running study."""

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.heads.kinds import Hyperparameters, Trial
from storage.errors import DataError
from storage.folders import whole_file
from storage.outputs.csv_forms import TRIALS, TrialRow, record
from storage.outputs.records import FILES, append_line, read_lines, read_record, write_record
from storage.paths import WORK, remedy


@dataclass(frozen=True)
class Tuning:
    """Hyperparameters chosen for one head.

    Attributes
    ----------
    cost
        Validation error of the best trial; None where none was run and ``plan`` is the default.
    seed
        Seed of the study and of the split of its images.
    """

    plan: Hyperparameters
    cost: float | None
    n_trials: int
    seed: int


def study_dir(split: str, objective: str, digest: str) -> Path:
    """Folder of a running study; studies on other inputs have their own."""
    return WORK / "tune" / split / objective / digest


def write_tuning(path: Path, tuning: Tuning, ranked: Iterable[Trial]) -> None:
    """Write the trials as CSV, best first, and the choice as a record beside them."""
    trials = path.with_suffix(".csv")
    write_trials(trials, ranked)
    choice = asdict(tuning)
    write_record(path, {"hyperparameters": choice.pop("plan"), **choice}, [trials])


def read_tuning(path: Path) -> Tuning:
    """Read a choice.

    Raises
    ------
    DataError
        If there is no such file (``tune`` has not run is the usual cause), it was edited, or is
        the choice of another objective.
    """
    choice = read_record(path, "tune")
    objectives = [Path(name).stem for name in choice.pop(FILES)]
    if objectives != [path.stem]:
        raise DataError(
            f"{path} must be the tuning of {path.stem}, got that of {', '.join(objectives)}"
            f"{remedy(path)}"
        )
    try:
        return Tuning(Hyperparameters(**choice.pop("hyperparameters")), **choice)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path} must be written by the stage tune, got {error}") from error


def write_trials(path: Path, ranked: Iterable[Trial]) -> None:
    """Write trials as CSV, best first."""
    with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        # Not by pandas, whose import takes longer than a stage without trials.
        table = csv.DictWriter(file, TRIALS.columns, lineterminator="\n")
        table.writeheader()
        for rank, trial in enumerate(ranked, start=1):
            table.writerow(record(TrialRow(rank, trial.mse, **asdict(trial.plan))))


def append_trial(path: Path, trial: Trial) -> None:
    """Add a finished trial to the log of a study."""
    append_line(path, {"mse": trial.mse, **asdict(trial.plan)})


def read_log(path: Path) -> list[Trial]:
    """Trials of a study's log, in order; none if there is no log."""
    lines = read_lines(path)
    errors = [line.pop("mse") for line in lines]
    return [Trial(Hyperparameters(**line), mse) for line, mse in zip(lines, errors, strict=True)]
