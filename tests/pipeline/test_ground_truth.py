"""Area, box and clicks of objects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.prompts import measure_objects, sample_prompts

masks = hnp.arrays(
    bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=16), elements=st.booleans()
).filter(np.any)


@given(st.lists(st.tuples(masks, st.integers(0, 99)), min_size=1, max_size=4))
def test_rows_follow_the_masks(objects: list[tuple[np.ndarray, int]]) -> None:
    truth = measure_objects(iter(objects))

    for k, (mask, seed) in enumerate(objects):
        y, x = np.nonzero(mask)
        assert truth.area_px[k] == len(x)
        assert truth.box_px[k].tolist() == [
            x.min(),
            y.min(),
            x.max() - x.min() + 1,
            y.max() - y.min() + 1,
        ]
        np.testing.assert_array_equal(truth.point_px[k], sample_prompts(mask, seed))


def test_no_objects_give_arrays_without_rows() -> None:
    truth = measure_objects([])

    assert truth.area_px.shape == (0,)
    assert truth.box_px.shape == (0, 4)
    assert truth.point_px.shape == (0, 8, 2)


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="mask must have a foreground pixel"):
        measure_objects([(np.zeros((3, 3), bool), 0)])
