"""Measures: everything that ranks the objects of one model by uncertainty, larger is more."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from jaxtyping import Float

ENTROPY_MEASURES: Final = ("h_std", "h_y", "h_theta", "h_xp", "h_a", "h_t")
"""Measures that are entropies, in bits."""

UNTRAINED_MEASURES: Final = ("sam_score", *ENTROPY_MEASURES)
"""Measures that need no head."""

HEAD_MEASURES: Final = (
    "usam",
    "delta_theta",
    "delta_xp",
    "delta_a",
    "delta_theta_star",
    "delta_xp_star",
    "delta_a_star",
)
"""Measures of the heads of one train split."""

SCORES: Final = ("sam_score", "usam")
"""Measures that are 1 - a predicted IoU."""


@dataclass(frozen=True)
class ProposalScores:
    """How good one model's proposals are in one view, ``center`` unless named otherwise."""

    iou: Float[np.ndarray, "object proposal"]
    sam_score: Float[np.ndarray, "object proposal"]
    refined_iou: Float[np.ndarray, "object proposal"]
    """IoU of the proposals under the prompt set ``refined``."""

    @property
    def best_iou(self) -> Float[np.ndarray, "object"]:
        """IoU of the best proposal."""
        best: Float[np.ndarray, "object"] = self.iou.max(axis=1)
        return best

    @property
    def best_refined_iou(self) -> Float[np.ndarray, "object"]:
        """IoU of the best proposal under ``refined``."""
        best: Float[np.ndarray, "object"] = self.refined_iou.max(axis=1)
        return best

    @property
    def selected_iou(self) -> Float[np.ndarray, "object"]:
        """IoU of the proposal with the highest SamScore; of equals, the first."""
        selected = self.sam_score.argmax(axis=1)[:, np.newaxis]
        return np.take_along_axis(self.iou, selected, axis=1)[:, 0]

    def by_proposal(self) -> dict[str, Float[np.ndarray, "object"]]:
        """IoU of the ``best`` and the ``selected`` proposal, and of the best under ``refined``."""
        return {
            "best": self.best_iou,
            "selected": self.selected_iou,
            "refined": self.best_refined_iou,
        }


@dataclass(frozen=True)
class ModelScores:
    """What one model says of every object in the identity view."""

    proposals: ProposalScores
    entropies: Mapping[str, Float[np.ndarray, "object"]]
    """``ENTROPY_MEASURES``, in bits."""
    predictions: Mapping[str, Mapping[str, Float[np.ndarray, "object"]]]
    """Heads on this model's tokens: train split -> objective -> value in [0, 1]."""
    other_predictions: Mapping[str, Mapping[str, Mapping[str, Float[np.ndarray, "object"]]]] = (
        field(default_factory=dict)
    )
    """The same of heads that read another token set than ``best``: token set -> train split."""


def untrained_measures(scores: ModelScores) -> dict[str, Float[np.ndarray, "object"]]:
    """``UNTRAINED_MEASURES``: 1 - SamScore of the selected proposal, and the entropies.

    Raises
    ------
    ValueError
        If an entropy is missing.
    """
    _check_names("entropies", scores.entropies, ENTROPY_MEASURES)
    entropies = {name: scores.entropies[name].astype(np.float64) for name in ENTROPY_MEASURES}
    return {"sam_score": 1 - scores.proposals.sam_score.max(axis=1).astype(np.float64), **entropies}


def head_measures(
    predictions: Mapping[str, Float[np.ndarray, "object"]], model: str
) -> dict[str, Float[np.ndarray, "object"]]:
    """``HEAD_MEASURES`` of a model, from the heads of one train split on that model's tokens.

    Raises
    ------
    ValueError
        If a head is missing.

    Notes
    -----
    The direct gaps are learned as ``0.5 + gap``, which is taken back here.
    """
    usam = f"iou_{model}"
    needed = ("iou_tiny", "iou_large", "iou_refined", "iou_selected", usam)
    gaps = {"theta": "model_gap", "xp": "prompt_gap", "a": "task_gap"}
    _check_names("heads", predictions, (*needed, *gaps.values()))
    iou = {name: predictions[name].astype(np.float64) for name in needed}
    return {
        "usam": 1 - iou[usam],
        "delta_theta": iou["iou_large"] - iou["iou_tiny"],
        "delta_xp": iou["iou_refined"] - iou[usam],
        "delta_a": iou[usam] - iou["iou_selected"],
        **{
            f"delta_{source}_star": predictions[gap].astype(np.float64) - 0.5
            for source, gap in gaps.items()
        },
    }


def model_measures(
    scores: ModelScores, model: str
) -> dict[tuple[str, str], Float[np.ndarray, "object"]]:
    """Every measure of a model by (train split, name); the train split of the untrained is ``""``.

    Raises
    ------
    ValueError
        If an entropy or a head is missing.
    """
    untrained = {("", name): value for name, value in untrained_measures(scores).items()}
    trained = {
        (train_split, name): value
        for train_split, predictions in scores.predictions.items()
        for name, value in head_measures(predictions, model).items()
    }
    return untrained | trained


def every_measure(
    scores: ModelScores, model: str
) -> dict[tuple[str, str, str], Float[np.ndarray, "object"]]:
    """Every measure of a model, of the heads of all token sets, by (train split, tokens, name).

    The first two of the untrained are empty.

    Raises
    ------
    ValueError
        If an entropy or a head is missing.
    """
    of_method = {
        (train_split, "best" if train_split else "", name): value
        for (train_split, name), value in model_measures(scores, model).items()
    }
    others = {
        (train_split, tokens, name): value
        for tokens, by_split in scores.other_predictions.items()
        for train_split, predictions in by_split.items()
        for name, value in head_measures(predictions, model).items()
    }
    return of_method | others


def _check_names(what: str, given: Mapping[str, object], needed: tuple[str, ...]) -> None:
    missing = [name for name in needed if name not in given]
    if missing:
        raise ValueError(f"{what} must hold {', '.join(needed)}, got all but {', '.join(missing)}")
