"""Segment Anything models: their families, how they are built, and how they answer prompts."""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pipeline.sam.building import build
    from pipeline.sam.model import Sam

__all__: Final = ["Sam", "build"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the above
    """Import ``Sam`` or ``build`` at its first use: importing torch takes seconds."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipeline.sam import building, model  # noqa: PLC0415

    return getattr(model if name == "Sam" else building, name)
