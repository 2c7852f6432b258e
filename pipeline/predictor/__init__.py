"""SAM2 with the uncertainty of its masks, for any image and prompt."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pipeline.predictor.prompt_sets import PromptSet as PromptSet
    from pipeline.predictor.proposal_heads import ProposalHeads as ProposalHeads
    from pipeline.predictor.uncertain_generator import (
        UncertainMaskGenerator as UncertainMaskGenerator,
    )
    from pipeline.predictor.uncertain_predictor import UncertainPredictor as UncertainPredictor
    from pipeline.predictor.uncertainty import Choice as Choice
    from pipeline.predictor.uncertainty import Uncertainty as Uncertainty

_MODULES: Final = {
    "Choice": "uncertainty",
    "PromptSet": "prompt_sets",
    "ProposalHeads": "proposal_heads",
    "Uncertainty": "uncertainty",
    "UncertainMaskGenerator": "uncertain_generator",
    "UncertainPredictor": "uncertain_predictor",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - one of the names above
    """Import a class of the predictor at its first use: importing torch takes seconds."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
