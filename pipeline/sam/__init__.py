"""SAM2: the four models of a family, and what they predict for an image and its clicks."""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pipeline.sam.building import build
    from pipeline.sam.model import Sam

__all__: Final = ["Sam", "build"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the above
    """Import the models when they are asked for: torch takes seconds, the families do not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipeline.sam import building, model  # noqa: PLC0415

    return getattr(model if name == "Sam" else building, name)
