"""Memory that is freed: kept for the next step, or given back."""

import ctypes
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from stages.shell.allocator import freed_memory_given_back, keep_freed_memory
from tests.fixtures.memory import memory_bytes

N_PIECES, PIECE_BYTES = 64, 2**20


def kept_bytes() -> int:
    """What stays with this process of pieces that were freed."""
    before = memory_bytes("RssAnon")
    pieces = [np.ones(PIECE_BYTES, np.uint8) for _ in range(N_PIECES)]
    del pieces
    return memory_bytes("RssAnon") - before


def kept_within_and_after() -> tuple[int, int]:
    """Bytes that stay where freed memory is given back, and where it is kept."""
    keep_freed_memory()
    with freed_memory_given_back():
        within = kept_bytes()
    return within, kept_bytes()


on_glibc = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")


@on_glibc
def test_what_is_freed_goes_back_within_the_block_and_is_kept_after_it() -> None:
    # A process that has freed nothing yet: otherwise the pieces may lie in what it has kept before.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        within, after = pool.submit(kept_within_and_after).result()
    assert within < PIECE_BYTES * N_PIECES / 8
    assert after > PIECE_BYTES * N_PIECES / 2


@on_glibc
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MALLOC_MMAP_THRESHOLD_", "131072"),
        ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=131072"),
    ],
)
def test_what_a_user_sets_stays(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        _, after = pool.submit(kept_within_and_after).result()
    assert after < PIECE_BYTES * N_PIECES / 8
