"""Reads and writes the calibrated SamScores of a train split, and its best fixed cuts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.scoring.calibration import Isotonic
from storage.head_files.head_file import check_card
from storage.outputs.records import read_record, write_record
from storage.paths import isotonic_path, remedy

Calibration = Mapping[str, Mapping[str, Isotonic]]
"""Calibrated SamScores: isotonic regressions from SamScore to IoU, by model, then by judged
proposal (``best`` or ``selected``)."""

_FITTED: Final = "fitted"
_FIXED_CUTS: Final = "fixed_cuts"


def write_isotonic(
    path: Path,
    split: str,
    calibration: Calibration,
    origin: Mapping[str, str],
    *,
    fixed_cuts: Mapping[str, float],
) -> None:
    """Write the isotonic regressions of a split's models, and their best fixed cuts.

    ``origin`` has the entries that identify the features the regressions were fitted on, as in
    cards of heads. ``fixed_cuts`` has, for each model, the foreground probability at which its
    selected masks have the highest mean IoU on the split.
    """
    fitted = {
        model: {
            judged: {name: values.tolist() for name, values in vars(isotonic).items()}
            for judged, isotonic in by_judged.items()
        }
        for model, by_judged in calibration.items()
    }
    entries = {"split": split, **origin, _FITTED: fitted, _FIXED_CUTS: dict(fixed_cuts)}
    write_record(path, entries, [])


def read_isotonic(
    split: str, kind: str, origin: Mapping[str, str]
) -> tuple[Calibration, Mapping[str, float]]:
    """Read the isotonic regressions that ``write_isotonic`` wrote beside the heads of a kind.

    Also the best fixed cut of each model, by model. Raises a DataError if the file is missing, was
    edited, or was fitted on other features than ``origin``.
    """
    path = isotonic_path(split, kind)
    record = read_record(path, "train", ["split", _FITTED, _FIXED_CUTS])
    check_card(path, record, {"split": split, **origin}, remedy(path))
    calibration = {
        model: {
            judged: Isotonic(**{name: np.array(values) for name, values in arrays.items()})
            for judged, arrays in by_judged.items()
        }
        for model, by_judged in record[_FITTED].items()
    }
    return calibration, record[_FIXED_CUTS]
