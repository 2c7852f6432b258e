"""The cache and the data sets on disk."""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from storage.store.opening import open_entropy, open_features, open_masks, open_objects

__all__: Final = ["open_entropy", "open_features", "open_masks", "open_objects"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the above
    """Import xarray only when a store is opened: it takes a third of a second."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from storage.store import opening  # noqa: PLC0415

    return getattr(opening, name)
