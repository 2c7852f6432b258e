"""Correction curves: the rise of the mean IoU as the most uncertain objects are corrected first."""

from dataclasses import dataclass
from math import nan

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class CorrectionAuc:
    """Area under a correction curve, and the areas of the best and the worst order; all in 0..1."""

    auc: float
    """Area for the order of the measure."""
    oracle: float
    """Area if objects are corrected in the order of their true gain, the largest first."""
    worst: float
    """Area for the reverse of the oracle's order."""
    relative: float
    """Place of ``auc`` between ``worst`` (0) and ``oracle`` (1); NaN if these are equal."""


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

    Parameters
    ----------
    iou
        IoU of each object's mask.
    corrected_iou
        IoU of each object's mask after the correction.
    uncertainty
        Uncertainty of each object's mask; only the order of the objects counts.

    Returns
    -------
    The area as ``auc``, the areas of the best and the worst order as ``oracle`` and ``worst``, and
    ``relative``, the place of ``auc`` between ``worst`` (0) and ``oracle`` (1), NaN if these are
    equal.

    Raises
    ------
    ValueError
        If there are no objects, the lengths differ, a value is NaN or an IoU is infinite.

    Notes
    -----
    The trapezoid rule weights the gain of the object at rank r of n (rank 1 is corrected first) by
    ``(n - r + 1/2) / n``. Tied objects take the mean rank of their tie: the area is linear in
    ranks, so it becomes the mean over all orders of the tie. An order and its reverse average to
    the area of a random order, so a measure without information has a relative AUC of 1/2.
    """
    gain = _gain(iou, corrected_iou, uncertainty)
    base = float(np.mean(iou, dtype=np.float64))
    worst, oracle = base + _area(gain, by=-gain), base + _area(gain, by=gain)
    # No order leaves these bounds (rearrangement inequality), but rounding may, by an ulp.
    auc = min(max(base + _area(gain, by=uncertainty), worst), oracle)
    return CorrectionAuc(auc, oracle, worst, relative_auc(auc, oracle=oracle, worst=worst))


def relative_auc(auc: float, *, oracle: float, worst: float) -> float:
    """Place of ``auc`` between ``worst`` (0) and ``oracle`` (1), all three in the same unit.

    NaN if ``worst`` and ``oracle`` are equal: every object gains the same, so no order is better.
    """
    return (auc - worst) / (oracle - worst) if oracle != worst else nan


def correction_curve(
    iou: Float[np.ndarray, "object"],
    corrected_iou: Float[np.ndarray, "object"],
    uncertainty: Float[np.ndarray, "object"],
    *,
    n_points: int,
) -> tuple[Float[np.ndarray, "point"], Float[np.ndarray, "point"]]:
    """Mean IoU against the corrected fraction, as the most uncertain objects are corrected first.

    Returns
    -------
    ``n_points`` evenly spaced fractions in 0..1, and the mean IoU at each, interpolated between
    whole numbers of objects. Across a tie, the curve is a straight line, the mean over all orders.
    """
    gain = _gain(iou, corrected_iou, uncertainty)
    tie, size = _ties(uncertainty)
    corrected = np.concatenate([[0], np.cumsum(size)]) / len(gain)
    gained = np.concatenate([[0], np.cumsum(np.bincount(tie, weights=gain))]) / len(gain)
    fraction = np.linspace(0, 1, n_points)
    base = np.mean(iou, dtype=np.float64)
    return fraction, base + np.interp(fraction, corrected, gained)


def _area(gain: Float[np.ndarray, "object"], *, by: Float[np.ndarray, "object"]) -> float:
    """Area between a correction curve and its value at the start, objects ordered by ``by``."""
    tie, size = _ties(by)
    mean_rank = np.cumsum(size) - (size - 1) / 2
    n = len(gain)
    return float(np.dot(gain, n - mean_rank[tie] + 0.5)) / n**2


def _ties(
    uncertainty: Float[np.ndarray, "object"],
) -> tuple[Int[np.ndarray, "object"], Int[np.ndarray, "tie"]]:
    """Index of each object's tie (0: most uncertain), and number of objects of each tie."""
    _, tie, size = np.unique(uncertainty, return_inverse=True, return_counts=True)
    return len(size) - 1 - tie, size[::-1]


def _gain(
    iou: Float[np.ndarray, "_"],
    corrected_iou: Float[np.ndarray, "_"],
    uncertainty: Float[np.ndarray, "_"],
) -> Float[np.ndarray, "object"]:
    """Gain in IoU of each object, in double precision.

    Raises a ValueError if the columns have different lengths or no objects, an IoU is not finite,
    or an uncertainty is NaN.
    """
    lengths = (len(iou), len(corrected_iou), len(uncertainty))
    if len(set(lengths)) > 1 or not len(iou):
        raise ValueError(
            "iou, corrected_iou and uncertainty must have the same length, at least 1, "
            f"got {lengths}"
        )
    for name, value in (("iou", iou), ("corrected_iou", corrected_iou)):
        _check_none(~np.isfinite(value), f"{name} must be finite, got NaN or infinity")
    # An infinite uncertainty can be ranked.
    _check_none(np.isnan(uncertainty), "uncertainty must not be NaN, got NaN")
    gain: Float[np.ndarray, "object"] = corrected_iou.astype(np.float64) - iou
    return gain


def _check_none(is_faulty: np.ndarray, fault: str) -> None:
    if is_faulty.any():
        raise ValueError(f"{fault} for {is_faulty.sum()} of {is_faulty.size} objects")
