"""The entropies of a split, held to the cells that they were computed from."""

import xarray

from pipeline.views import entropy_views
from storage.errors import StoreError
from storage.paths import entropy_path
from storage.split.cells import TOLD_KEYS, SplitCells
from storage.store.arrays import naming_damage
from storage.store.opening import open_entropy


def read_entropies(cells: SplitCells) -> xarray.Dataset:
    """Read the entropies of a split whole.

    Raises
    ------
    StoreError
        If the store is missing, incomplete or damaged, or was computed from other cells.
    """
    path = entropy_path(cells.split)
    told = cells.signature
    entropy = open_entropy(path, expected={key: told[key] for key in TOLD_KEYS})
    known = entropy.attrs["signature"].get("cells_digest", "none")
    found = cells.digest(entropy_views(cells.views))
    if known != found:
        raise StoreError(
            f"{path} must be computed from the cells of these models and views "
            f"(cells_digest: {known} -> {found}); run `entropy` again"
        )
    with naming_damage(path):
        return entropy.load()
