"""Codes soft masks as bytes: fine steps near probabilities 0 and 1, coarse steps near 0.5."""

from typing import Final

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

CUTS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Foreground probabilities at which masks are cut for the array ``iou_at_cut`` of features."""

N_CODES: Final = 76
"""Number of codes. ``python -m tools.show_codes`` measures what other numbers take and change."""


def decode_table(n_codes: int) -> Float64[np.ndarray, " code"]:
    """Foreground probability of each code: 0 for the first and 1 for the last, others between.

    Notes
    -----
    It is the mean of the probabilities that have the code, where logits are spread evenly, as they
    are along an outline: ``log((1 - low) / (1 - high)) / (logit(high) - logit(low))`` between the
    lowest and the highest probability. The probability in the middle of the angles is too high for
    the background, and too low for the foreground.
    """
    ends = np.sin(np.pi / 2 * (np.arange(n_codes - 1) + 0.5) / (n_codes - 1)) ** 2
    log_background = np.log(1 - ends)
    inner = -np.diff(log_background) / np.diff(np.log(ends) - log_background)
    return np.concatenate([[0.0], inner, [1.0]])


DECODE_TABLE: Final[Float32[np.ndarray, " code"]] = decode_table(N_CODES).astype(np.float32)
"""Foreground probability of each code; no code means exactly 0.5."""

CUT: Final = 0.5
"""A pixel is foreground above this probability; its logit is then above 0."""

FIRST_FOREGROUND_CODE: Final = N_CODES // 2
"""Lowest code of a probability above ``CUT``."""


def encode(p: Float[np.ndarray, "*shape"], n_codes: int = N_CODES) -> UInt8[np.ndarray, "*shape"]:
    """Code foreground probabilities as whole numbers from 0 to ``n_codes - 1``, an even number.

    >>> encode(np.array([0.0, 0.25, 0.5, 1.0])).tolist()
    [0, 25, 37, 75]

    Notes
    -----
    ``round(75 * 2/π * asin(sqrt(p)))``, in float64. A step is ``π/75 * sqrt(p (1 - p))``: coding
    changes a probability by less than a step, and by far less near 0 and 1. The probability 0.5
    lies halfway between the codes 37 and 38. It becomes 37, background, because its logit is not
    above 0.
    """
    check_probabilities(p)
    angle = np.arcsin(np.sqrt(p, dtype=np.float64))
    code = np.rint((n_codes - 1) * 2 / np.pi * angle)
    # Rounding alone would send 0.5 to the foreground, and floats near it to either side.
    background = np.minimum(code, n_codes // 2 - 1)
    foreground = np.maximum(code, n_codes // 2)
    q: UInt8[np.ndarray, "*shape"] = np.where(p > CUT, foreground, background).astype(np.uint8)
    return q


def decode(q: UInt8[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """Decode the codes of a mask to foreground probabilities, by ``DECODE_TABLE``.

    >>> decode(np.array([0, 25, 75], np.uint8)).round(3).tolist()
    [0.0, 0.25, 1.0]
    """
    p: Float32[np.ndarray, "*shape"] = np.asarray(DECODE_TABLE[q])
    return p


def check_probabilities(p: Float[np.ndarray, "*shape"]) -> None:
    """Raise a ValueError if a value lies outside [0, 1] or is NaN (logits are the usual cause)."""
    is_valid = (p >= 0) & (p <= 1)
    if not is_valid.all():
        raise ValueError(f"probability must lie in [0, 1], got {p[~is_valid].flat[0]}")
