"""Objects ranked by a value, with ties, for statistics that sum over ranks."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

Weights = Float[np.ndarray, "resample object"]
"""How often each object was drawn, in whole numbers."""


@dataclass(frozen=True)
class Ranking:
    """Objects by a value, the lowest first; those of equal value are a tie.

    Sums are taken by tie, so that no result depends on the order within one.
    """

    order: Int[np.ndarray, "object"]
    """Rows of the objects in their order."""
    first: Int[np.ndarray, "tie"]
    """Place in ``order`` of each tie's first object."""
    tie: Int[np.ndarray, "object"]
    """Tie of each object in ``order``."""

    @classmethod
    def of(cls, values: Float[np.ndarray, "object"]) -> "Ranking":
        """Rank by a value, which may be infinite but not NaN."""
        order = np.argsort(values, kind="stable")
        ranked = values[order]
        is_first = np.concatenate([[True], ranked[1:] != ranked[:-1]])
        return cls(order, np.flatnonzero(is_first), np.cumsum(is_first) - 1)

    def by_tie(self, ordered: Weights) -> Float[np.ndarray, "resample tie"]:
        """Sum over each tie, of values given in ``order``."""
        if len(self.first) == len(self.order):
            return ordered  # as for most scores, no two objects tie
        sums: Float[np.ndarray, "resample tie"] = np.add.reduceat(ordered, self.first, axis=1)
        return sums

    def mean_ranks(self, ordered: Weights) -> Weights:
        """Rank of each object in ``order``, 1 the lowest; tied objects share their mean rank.

        An object drawn w times counts as w tied objects.
        """
        size = self.by_tie(ordered)
        mean_rank = np.cumsum(size, axis=1) - (size - 1) / 2
        return np.take(mean_rank, self.tie, axis=1)
