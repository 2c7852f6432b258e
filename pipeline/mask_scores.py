"""Numbers of a single mask: what each is computed from, and how."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64

from pipeline.masks import DECODE_TABLE, FIRST_FOREGROUND_CODE

CodeCounts = Int64[np.ndarray, "*batch code"]
"""Pixels of a mask by their code."""

_PROBABILITY: Final = DECODE_TABLE.astype(np.float64)


@dataclass(frozen=True)
class MaskScore:
    """A number of each judged mask, from one click in the view ``identity``."""

    name: str
    """Name of its array in the entropy store."""
    meaning: str
    compute: Callable[[CodeCounts], Float64[np.ndarray, "*batch"]]
    dims: tuple[str, ...] = ("object", "judged", "model")
    """Dimensions of its array in the entropy store."""


def soft_dice(counts: CodeCounts) -> Float64[np.ndarray, "*batch"]:
    """Soft Dice of a mask's probabilities with the mask itself, cut where it is foreground.

    >>> counts = np.bincount([0, 255, 255], minlength=256)
    >>> float(soft_dice(counts))
    1.0

    Returns
    -------
    In [0, 1]; 1 for an all-background map, which is sure of itself.

    Notes
    -----
    Soft Dice Confidence (Borges et al., arXiv 2402.10665): ``2 Σ p ŷ / (Σ p + Σ ŷ)`` over the
    pixels, where ŷ is 1 in the foreground. It is near the mean Dice of the mask with a truth whose
    pixels are foreground with probability p, independently.
    """
    foreground = counts[..., FIRST_FOREGROUND_CODE:]
    overlap = foreground @ _PROBABILITY[FIRST_FOREGROUND_CODE:]
    total = counts @ _PROBABILITY + foreground.sum(axis=-1)
    score: Float64[np.ndarray, "*batch"] = np.ones_like(total)
    np.divide(2 * overlap, total, out=score, where=total > 0)
    return score


MASK_SCORES: Final = (
    MaskScore(
        "soft_dice",
        "soft Dice of the judged mask with itself, cut where it is foreground",
        soft_dice,
    ),
)
"""Every number of a judged mask that the stage ``entropy`` computes, as its store orders them."""
