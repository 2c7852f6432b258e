"""Where the heads are that come with the package."""

from pathlib import Path
from typing import Final

from storage.errors import WeightsError

SHIPPED_FAMILY: Final = "mini"
"""The family whose heads come with the package."""

SHIPPED: Final = Path(__file__).parent
"""One file per family."""


def shipped_heads(family: str = SHIPPED_FAMILY) -> Path:
    """File of the heads that come with the package.

    Raises
    ------
    WeightsError
        If none come for the family.
    """
    path = SHIPPED / f"{family}.safetensors"
    if not path.is_file():
        raise WeightsError(
            f"heads of {family} must be given as a file, got none: heads come with the package "
            f"for {SHIPPED_FAMILY} only; `usam heads export` writes a file of those that `train` "
            "has made"
        )
    return path
