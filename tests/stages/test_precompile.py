"""``python -m stages.precompile``: the functions that it compiles answer for blank objects."""

import numpy as np

from stages import precompile


def test_blank_objects_have_blank_masks_and_no_entropy() -> None:
    mask, _ = precompile.masks()
    assert not mask.any()
    arrays = precompile.entropies()
    entropies = {name: array for name, array in arrays.items() if name.startswith("h_")}
    assert entropies
    assert all(np.allclose(array, 0) for array in entropies.values())
    assert all(np.size(array) for array in precompile.statistics())
