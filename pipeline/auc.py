"""Correction curves: how fast the mean IoU rises when the most uncertain objects go first."""

from dataclasses import dataclass
from math import nan

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class CorrectionAuc:
    """Area under a correction curve beside the best and the worst order's, fractions of 1."""

    auc: float
    oracle: float
    worst: float
    relative: float
    """Where ``auc`` lies between ``worst`` (0) and ``oracle`` (1); NaN where these are equal."""


def correction_auc(
    iou: Float[np.ndarray, "object"],
    corrected_iou: Float[np.ndarray, "object"],
    uncertainty: Float[np.ndarray, "object"],
) -> CorrectionAuc:
    """Area under the mean IoU against the corrected fraction, most uncertain objects first.

    >>> iou, corrected_iou = np.array([0.2, 0.9]), np.array([1.0, 1.0])
    >>> correction_auc(iou, corrected_iou, np.array([0.7, 0.1])).relative
    1.0
    >>> correction_auc(iou, corrected_iou, np.array([0.1, 0.7])).relative
    0.0

    Raises
    ------
    ValueError
        If there is no object, the lengths differ, or a value is NaN or an IoU infinite.

    Notes
    -----
    The trapezoids of a curve of n objects weigh the gain of the object at rank r (1 goes first)
    by ``(n - r + 1/2) / n``. In a random order of equal uncertainties an object stands at the
    mean rank of its tie, and the area is linear in ranks: mean ranks give the mean over all
    orders, without drawing any. One order and its reverse average to a random order's area, so
    that a measure without information has a relative AUC of 1/2.
    """
    gain = _gain(iou, corrected_iou, uncertainty)
    base = float(np.mean(iou, dtype=np.float64))
    worst, oracle = base + _area(gain, by=-gain), base + _area(gain, by=gain)
    # The rearrangement inequality, which rounding may overstep by an ulp.
    auc = min(max(base + _area(gain, by=uncertainty), worst), oracle)
    return CorrectionAuc(auc, oracle, worst, relative_auc(auc, oracle=oracle, worst=worst))


def relative_auc(auc: float, *, oracle: float, worst: float) -> float:
    """Where ``auc`` lies between ``worst`` (0) and ``oracle`` (1), all three in one unit.

    NaN where oracle and worst are equal: every object gains the same, no order beats another.
    """
    return (auc - worst) / (oracle - worst) if oracle != worst else nan


def correction_curve(
    iou: Float[np.ndarray, "object"],
    corrected_iou: Float[np.ndarray, "object"],
    uncertainty: Float[np.ndarray, "object"],
    *,
    n_points: int | None = None,
) -> tuple[Float[np.ndarray, "point"], Float[np.ndarray, "point"]]:
    """Corrected fraction and the mean IoU there, most uncertain objects first.

    Returns
    -------
    ``n_points`` evenly spaced fractions 0..1, or every multiple of one object's, and the mean IoU,
    interpolated between whole numbers of objects.

    Raises
    ------
    ValueError
        As ``correction_auc``, or if ``n_points`` is below 2.

    Notes
    -----
    Averaged over all orders of a tie, the curve is the straight line across it.
    """
    gain = _gain(iou, corrected_iou, uncertainty)
    if n_points is not None and n_points < 2:  # noqa: PLR2004 - both ends
        raise ValueError(f"n_points must be at least 2, got {n_points}")
    tie, size = _ties(uncertainty)
    corrected = np.concatenate([[0], np.cumsum(size)]) / len(gain)
    gained = np.concatenate([[0], np.cumsum(np.bincount(tie, weights=gain))]) / len(gain)
    fraction = np.linspace(0, 1, len(gain) + 1 if n_points is None else n_points)
    base = np.mean(iou, dtype=np.float64)
    return fraction, base + np.interp(fraction, corrected, gained)


def _area(gain: Float[np.ndarray, "object"], *, by: Float[np.ndarray, "object"]) -> float:
    """Area between the curve and its start."""
    tie, size = _ties(by)
    mean_rank = np.cumsum(size) - (size - 1) / 2
    n = len(gain)
    return float(np.dot(gain, n - mean_rank[tie] + 0.5)) / n**2


def _ties(
    uncertainty: Float[np.ndarray, "object"],
) -> tuple[Int[np.ndarray, "object"], Int[np.ndarray, "tie"]]:
    """Tie of each object, the most uncertain one 0, and how many objects each tie holds."""
    _, tie, size = np.unique(uncertainty, return_inverse=True, return_counts=True)
    return len(size) - 1 - tie, size[::-1]


def _gain(
    iou: Float[np.ndarray, "_"],
    corrected_iou: Float[np.ndarray, "_"],
    uncertainty: Float[np.ndarray, "_"],
) -> Float[np.ndarray, "object"]:
    """Gain of each object, once the columns are known to hold what they should."""
    lengths = (len(iou), len(corrected_iou), len(uncertainty))
    if len(set(lengths)) > 1 or not len(iou):
        raise ValueError(
            f"iou, corrected_iou and uncertainty must be of one length, at least 1, got {lengths}"
        )
    for name, value in (("iou", iou), ("corrected_iou", corrected_iou)):
        _check_none(~np.isfinite(value), f"{name} must be finite")
    # An infinite uncertainty ranks well.
    _check_none(np.isnan(uncertainty), "uncertainty must be free of NaN")
    gain: Float[np.ndarray, "object"] = corrected_iou.astype(np.float64) - iou
    return gain


def _check_none(is_faulty: np.ndarray, rule: str) -> None:
    if is_faulty.any():
        raise ValueError(f"{rule}, got {is_faulty.sum()} of {is_faulty.size} objects otherwise")
