"""What a predictor says of a prompt and its proposals, as values for JSON."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.predictor import Uncertainty


def gains_told(found: "Uncertainty", proposal: int) -> dict[str, Any]:
    """Expected IoUs and gains of a proposal, by name."""
    return {
        part: {name: float(values[proposal]) for name, values in vars(own).items()}
        for part, own in (
            ("expected_iou", found.expected_iou),
            ("gap", found.gap),
            ("direct_gap", found.direct_gap),
        )
    }


def proposal_told(found: "Uncertainty", proposal: int) -> dict[str, Any]:
    """Scores of a proposal: everything but its mask."""
    return {
        "sam_score": float(found.sam_score[proposal]),
        "h_std": float(found.h_std[proposal]),
        **gains_told(found, proposal),
    }


def prompt_told(found: "Uncertainty") -> dict[str, Any]:
    """What is said of all proposals together."""
    return {
        "selected": found.selected,
        "alternative": found.alternative,
        "advice": {"words": found.advice.words, **vars(found.advice)},
        "is_kept": found.is_kept,
        "caution": found.caution or None,
        "h_a": found.h_a,
    }
