"""Objects ranked by a value, with ties, for statistics that sum over ranks."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


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

    @property
    def is_last(self) -> Bool[np.ndarray, "object"]:
        """Whether each object in ``order`` is the last of its tie."""
        is_last: Bool[np.ndarray, "object"] = np.append(self.tie[1:] != self.tie[:-1], [True])
        return is_last

    def by_tie(self, ordered: Float[np.ndarray, "object"]) -> Float[np.ndarray, "tie"]:
        """Sum over each tie, of values given in ``order``."""
        if len(self.first) == len(self.order):
            return ordered  # as for most scores, no two objects tie
        sums: Float[np.ndarray, "tie"] = np.add.reduceat(ordered, self.first)
        return sums
