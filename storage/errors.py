"""What goes wrong on disk: types that a caller may tell apart."""

from collections.abc import Sequence
from typing import Final

N_LISTED: Final = 5
"""Faulty names in one message."""


class StoreError(ValueError):
    """A store is missing, incomplete, damaged, of another schema or of other inputs."""


class ImageError(ValueError):
    """An image cannot be read, or is not the image that its record describes."""


class DataError(ValueError):
    """A data set breaks a rule of its layout."""


class WeightsError(ValueError):
    """A weights file is missing, damaged or of another architecture."""


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    rest = f" and {len(names) - N_LISTED} more" if len(names) > N_LISTED else ""
    return ", ".join(names[:N_LISTED]) + rest
