"""Calibrated SamScores: the isotonic regressions of a train split, a record beside its heads."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from pipeline.scoring.calibration import Isotonic
from storage.head_files.head_file import check_card
from storage.outputs.records import read_record, write_record
from storage.paths import isotonic_path

Calibration = Mapping[str, Mapping[str, Isotonic]]
"""By model, then by judged proposal."""

_FITTED: Final = "fitted"


def write_isotonic(split: str, calibration: Calibration, origin: Mapping[str, str]) -> None:
    """Write what was fitted on a split.

    Parameters
    ----------
    origin
        Which features it was fitted on, as the card of the heads says it.
    """
    fitted = {
        model: {
            judged: {name: values.tolist() for name, values in vars(one).items()}
            for judged, one in by_judged.items()
        }
        for model, by_judged in calibration.items()
    }
    write_record(isotonic_path(split), {"split": split, **origin, _FITTED: fitted}, [])


def read_isotonic(split: str, origin: Mapping[str, str]) -> Calibration:
    """Read what was fitted on a split.

    Raises
    ------
    DataError
        If it is missing, not as it was written, or was fitted on other features than ``origin``
        says.
    """
    path = isotonic_path(split)
    found = read_record(path, "train", ["split", _FITTED])
    check_card(path, found, {"split": split, **origin}, "; train them again")
    return {
        model: {
            judged: Isotonic(**{name: np.array(values) for name, values in one.items()})
            for judged, one in by_judged.items()
        }
        for model, by_judged in found[_FITTED].items()
    }
