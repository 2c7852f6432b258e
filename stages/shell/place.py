"""Where the cells are that a stage reads: here, or in a cache at an address."""

import os
from pathlib import Path
from typing import Final

from storage.files.addresses import is_address
from storage.paths import CACHE

VARIABLE: Final = "USAM_CACHE"
"""Not a setting of ``params.yaml``: where a cache lies is a matter of the machine, and another
place must run no stage again."""


def cache_place() -> str | Path:
    """Folder or address of the cache whose objects, features and masks a stage reads.

    By default that of the repository. What a stage makes, it always writes there.
    """
    place = os.environ.get(VARIABLE, "")
    return place if is_address(place) else Path(place or CACHE)
