"""Ways to store masks give the masks back."""

import numpy as np
import pytest

from docs.mask_bytes import VIEWS, WAYS, Masks, Way, _measure
from pipeline.masks import encode
from tests.fixtures.soft_masks import soft_masks


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.words)
def test_what_is_packed_comes_back(way: Way) -> None:
    code = encode(soft_masks(0, 5 * 3 * len(VIEWS), 12)).reshape(5, len(VIEWS), 3, 12, 12)
    assert _measure(way, [Masks(tuple(views)) for views in code]).mask_bytes > 0


def test_masks_that_do_not_come_back_are_seen() -> None:
    code = encode(soft_masks(0, 3 * len(VIEWS), 12)).reshape(len(VIEWS), 3, 12, 12)
    lossy = Way("lossy", lambda values, _: values | np.uint8(1))
    with pytest.raises(AssertionError):
        _measure(lossy, [Masks(tuple(code))])
