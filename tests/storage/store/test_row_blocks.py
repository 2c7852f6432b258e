"""Blocks of rows say what their array says, and read it once if they are asked forwards."""

from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from storage.store.inspection import AnyArray
from storage.store.row_blocks import RowBlocks

N_ROWS = 50
VALUES = np.arange(2 * N_ROWS).reshape(N_ROWS, 2)


def array_of(chunk_rows: int) -> AnyArray:
    array = zarr.create_array({}, shape=VALUES.shape, dtype=VALUES.dtype, chunks=(chunk_rows, 2))
    array[...] = VALUES
    return array


@given(
    st.integers(1, 60),
    st.integers(1, 1000),
    st.lists(st.tuples(st.integers(0, N_ROWS - 1), st.integers(1, N_ROWS)), max_size=9),
)
def test_rows_are_those_of_the_array(
    chunk_rows: int, kept_bytes: int, asked: list[tuple[int, int]]
) -> None:
    blocks = RowBlocks(array_of(chunk_rows), kept_bytes=kept_bytes)
    for start, n in asked:
        some = slice(start, min(start + n, N_ROWS))
        np.testing.assert_array_equal(blocks[some], VALUES[some])


@pytest.mark.parametrize(("kept_bytes", "n_reads"), [(10**6, 5), (64, 15)])
def test_a_chunk_is_read_once_or_as_often_as_what_is_kept_of_it_is_small(
    kept_bytes: int, n_reads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(array: AnyArray, some: slice) -> Any:  # noqa: ANN401 - zarr's
        reads.append(some.stop - some.start)
        return whole(array, some)

    blocks = RowBlocks(array_of(10), kept_bytes=kept_bytes)
    reads: list[int] = []
    whole = zarr.Array.__getitem__
    monkeypatch.setattr(zarr.Array, "__getitem__", read)
    for row in range(N_ROWS):
        np.testing.assert_array_equal(blocks[row : row + 1], VALUES[row : row + 1])
    assert len(reads) == n_reads
    assert max(reads) <= kept_bytes // 16
