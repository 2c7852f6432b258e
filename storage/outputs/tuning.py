"""The tuning of a head on disk: the choice, every trial, and the log of a running study."""

import csv
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from pipeline.heads.hyperparameters import Hyperparameters, Trial
from storage.errors import DataError, shown
from storage.folders import whole_file
from storage.paths import WORK, remedy

COLUMNS: Final = ("rank", "mse", "batch_size", "epochs", "learning_rate", "momentum")
"""Columns of the table of trials, as in the paper's Table 8."""


@dataclass(frozen=True)
class Tuning:
    """Hyperparameters chosen for one head.

    Attributes
    ----------
    cost
        Validation error of the best trial; None where none was run and ``plan`` is the default.
    seed
        Seed of the study and of the split of its images.
    version
        Of the stage that chose them; files leave the first unsaid.
    """

    plan: Hyperparameters
    cost: float | None
    n_trials: int
    seed: int
    version: int = 1


def study_dir(split: str, objective: str, digest: str) -> Path:
    """Folder of a running study; studies on other inputs have their own."""
    return WORK / "tune" / split / objective / digest


def write_tuning(path: Path, tuning: Tuning) -> None:
    """Write a choice as JSON."""
    record = {"hyperparameters": asdict(tuning.plan)} | {
        name: value
        for name, value in vars(tuning).items()
        if name != "plan" and (name, value) != ("version", 1)
    }
    with whole_file(path) as partial:
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def read_tuning(path: Path) -> Tuning:
    """Read a choice.

    Raises
    ------
    DataError
        If there is no such file (``tune`` has not run is the usual cause), or it is not a choice.
    """
    if not path.is_file():
        raise DataError(f"tuning must be a file, got none at {path}{remedy(path)}")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return Tuning(Hyperparameters(**record.pop("hyperparameters")), **record)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path} must be written by the stage tune, got {error}") from error


def write_trials(path: Path, ranked: Iterable[Trial]) -> None:
    """Write trials as CSV, best first."""
    with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        for rank, trial in enumerate(ranked, start=1):
            table.writerow({"rank": rank, "mse": trial.mse, **asdict(trial.plan)})


def read_trials(path: Path) -> list[Trial]:
    """Read a table of trials in its order; none where the params' defaults were taken.

    Raises
    ------
    DataError
        If there is no such file (``tune`` has not run is the usual cause), or it is not such a
        table, or is cut off inside a line.
    """
    if not path.is_file():
        raise DataError(f"trials must be a file, got none at {path}{remedy(path)}")
    if not path.read_bytes().endswith(b"\n"):
        raise DataError(f"{path} must end with a line break, got it cut: run the stage tune again")
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        if tuple(table.fieldnames or ()) != COLUMNS:
            raise DataError(f"{path} must have {', '.join(COLUMNS)}, got {shown(table.fieldnames)}")
        try:
            return [_trial(row) for row in table]
        except (ValueError, TypeError) as error:
            raise DataError(f"{path} must be written by the stage tune, got {error}") from error


def append_trial(path: Path, trial: Trial) -> None:
    """Add a finished trial to the log of a study."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        # The line break comes first, so that a line cut short by a kill spoils no other.
        file.write("\n" + json.dumps({"mse": trial.mse, **asdict(trial.plan)}))


def read_log(path: Path) -> list[Trial]:
    """Trials of a log in order; none if there is no log. A line that was cut short is skipped."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    trials = []
    for line in filter(None, lines):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        mse = record.pop("mse")
        trials.append(Trial(Hyperparameters(**record), mse))
    return trials


def _trial(row: dict[str, str]) -> Trial:
    plan = Hyperparameters(
        epochs=int(row["epochs"]),
        batch_size=int(row["batch_size"]),
        learning_rate=float(row["learning_rate"]),
        momentum=float(row["momentum"]),
    )
    return Trial(plan, float(row["mse"]))
