"""What a model says of the objects of a split: all that a measure may be computed from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

Values = Float[np.ndarray, "object"]
"""A number for each object."""


@dataclass(frozen=True)
class ProposalScores:
    """How good one model's proposals are in one view, ``center`` unless named otherwise."""

    iou: Float[np.ndarray, "object proposal"]
    sam_score: Float[np.ndarray, "object proposal"]
    refined_iou: Float[np.ndarray, "object proposal"]
    """IoU of the proposals under the prompt set ``refined``."""

    @property
    def best_iou(self) -> Values:
        """IoU of the best proposal."""
        best: Values = self.iou.max(axis=1)
        return best

    @property
    def best_refined_iou(self) -> Values:
        """IoU of the best proposal under ``refined``."""
        best: Values = self.refined_iou.max(axis=1)
        return best

    @property
    def selected_iou(self) -> Values:
        """IoU of the proposal with the highest SamScore; of equals, the first."""
        selected = self.sam_score.argmax(axis=1)[:, np.newaxis]
        return np.take_along_axis(self.iou, selected, axis=1)[:, 0]

    def by_proposal(self) -> dict[str, Values]:
        """IoU of the ``best`` and the ``selected`` proposal, and of the best under ``refined``."""
        return {
            "best": self.best_iou,
            "selected": self.selected_iou,
            "refined": self.best_refined_iou,
        }


@dataclass(frozen=True)
class ModelScores:
    """What one model says of every object in the identity view, and all heads of its tokens."""

    proposals: ProposalScores
    entropies: Mapping[str, Values]
    """In bits, by their names in the entropy store."""
    predictions: Mapping[str, Mapping[str, Values]]
    """Heads on this model's tokens: train split -> objective -> value in [0, 1]."""
    other_predictions: Mapping[str, Mapping[str, Mapping[str, Values]]] = field(
        default_factory=dict
    )
    """The same of heads that read another token set than ``best``: token set -> train split."""

    def evidence(self, model: str, predictions: Mapping[str, Values] | None = None) -> "Evidence":
        """What is known under the heads of one train split and token set, or without heads."""
        return Evidence(model, self.proposals, self.entropies, predictions or {})


@dataclass(frozen=True)
class Evidence:
    """All that is known of every object from one model and one set of heads.

    What a measure is computed from, and its only argument: something new to compute measures from
    is a field more.
    """

    model: str
    proposals: ProposalScores
    entropies: Mapping[str, Values]
    predictions: Mapping[str, Values]
    """Heads on the model's tokens: objective -> value in [0, 1]."""

    def entropy(self, name: str) -> Values:
        """An entropy in double precision, in bits.

        Raises
        ------
        ValueError
            If there is none of the name.
        """
        return _named("entropies", self.entropies, name)

    def head(self, objective: str) -> Values:
        """What the head of an objective predicts, in double precision.

        Raises
        ------
        ValueError
            If there is no such head.
        """
        return _named("heads", self.predictions, objective)

    def own_iou(self) -> Values:
        """IoU that the head of this very model predicts for its best proposal: USAM_θ."""
        return self.head(f"iou_{self.model}")


def _named(what: str, known: Mapping[str, Values], name: str) -> Values:
    if name not in known:
        raise ValueError(f"{what} must hold {name}, got {', '.join(known) or 'none'}")
    return known[name].astype(np.float64)
