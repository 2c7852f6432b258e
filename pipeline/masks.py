"""Codes soft masks as bytes: fine steps near probabilities 0 and 1, coarse steps near 0.5."""

from typing import Final

import numpy as np
from jaxtyping import Float, Float32, UInt8

CUTS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Foreground probabilities at which masks are cut for the array ``iou_at_cut`` of features."""

N_CODES: Final = 256
"""Number of values of a byte."""

DECODE_TABLE: Final[Float32[np.ndarray, " code"]] = (
    np.sin(np.pi / 2 * np.arange(N_CODES) / (N_CODES - 1)) ** 2
).astype(np.float32)
"""Foreground probability of each code; no code means exactly 0.5."""

CUT: Final = 0.5
"""A pixel is foreground above this probability; its logit is then above 0."""

FIRST_FOREGROUND_CODE: Final = N_CODES // 2
"""Lowest code of a probability above ``CUT``."""


def encode(p: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Code foreground probabilities as bytes.

    >>> encode(np.array([0.0, 0.25, 0.5, 1.0])).tolist()
    [0, 85, 127, 255]

    Notes
    -----
    ``round(255 * 2/π * asin(sqrt(p)))``, in float64. A step is ``π/255 * sqrt(p (1 - p))``: coding
    changes a probability by π/1020 at most, and by far less near 0 and 1. The probability 0.5 lies
    halfway between the codes 127 and 128. It becomes 127, background, because its logit is not
    above 0.
    """
    check_probabilities(p)
    angle = np.arcsin(np.sqrt(p, dtype=np.float64))
    code = np.rint((N_CODES - 1) * 2 / np.pi * angle)
    # Rounding alone would send 0.5 to 128, and floats near it to either side.
    background = np.minimum(code, FIRST_FOREGROUND_CODE - 1)
    foreground = np.maximum(code, FIRST_FOREGROUND_CODE)
    q: UInt8[np.ndarray, "*shape"] = np.where(p > CUT, foreground, background).astype(np.uint8)
    return q


def decode(q: UInt8[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """Decode the codes of a mask to foreground probabilities: ``sin(π/2 * q/255)**2``.

    >>> decode(np.array([0, 85, 255], np.uint8)).round(4).tolist()
    [0.0, 0.25, 1.0]
    """
    p: Float32[np.ndarray, "*shape"] = np.asarray(DECODE_TABLE[q])
    return p


def check_probabilities(p: Float[np.ndarray, "*shape"]) -> None:
    """Raise a ValueError if a value lies outside [0, 1] or is NaN (logits are the usual cause)."""
    is_valid = (p >= 0) & (p <= 1)
    if not is_valid.all():
        raise ValueError(f"probability must lie in [0, 1], got {p[~is_valid].flat[0]}")
