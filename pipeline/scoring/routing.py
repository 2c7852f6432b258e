"""Routing: the small model answers, and its uncertainty decides what the large one is asked."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from pipeline.scoring.bootstrap import Resamples
from pipeline.scoring.ranking import Ranking

TOLERANCE: Final = 0.01
"""How far the mean IoU of routing may fall below the large model's."""


@dataclass(frozen=True)
class Ious:
    """IoU of every object's mask by each model."""

    small: Float[np.ndarray, "object"]
    large: Float[np.ndarray, "object"]


@dataclass(frozen=True)
class Seconds:
    """Seconds per object: of the small model with its measure, and of the large model."""

    asked: float
    large: float

    def at(self, share: Float[np.ndarray, "*point"]) -> Float[np.ndarray, "*point"]:
        """Mean seconds per object when a share of them is sent on."""
        seconds: Float[np.ndarray, "*point"] = self.asked + share * self.large
        return seconds


def share_to_match(
    ious: Ious,
    uncertainty: Float[np.ndarray, "object"],
    resamples: Resamples,
    *,
    tolerance: float = TOLERANCE,
) -> Float[np.ndarray, "resample"]:
    """Smallest share sent on at which the mean IoU reaches the large model's less ``tolerance``.

    Notes
    -----
    The share always exists: sending all objects on is the large model alone. The curve is straight
    across ties, which is its mean over all their orders, and between whole objects.

    Raises
    ------
    ValueError
        If ``tolerance`` is negative.
    """
    if tolerance < 0:
        raise ValueError(f"tolerance must not be negative, got {tolerance}")
    # Numba takes half a second, which whoever reads results need not spend.
    from pipeline.scoring.passes.areas import write_shares  # noqa: PLC0415

    ranking = Ranking.of(-uncertainty)
    gain = np.subtract(ious.large, ious.small, dtype=np.float64)[ranking.order]
    shares = resamples.empty()
    write_shares(
        resamples.drawn,
        resamples.group[ranking.order],
        ranking.is_last,
        gain,
        tolerance,
        shares,
    )
    return resamples.by_resample(shares)
