"""Predictors made of weights and heads on disk."""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from stages.predictor.loading import from_pretrained, load_predictor

__all__: Final = ["from_pretrained", "load_predictor"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the above
    """Import the models on first use: torch takes seconds."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from stages.predictor import loading  # noqa: PLC0415

    return getattr(loading, name)
