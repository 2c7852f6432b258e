"""What a predictor says of a proposal, as values for JSON."""

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
