"""What becomes of memory that is freed, where glibc allocates it; nothing happens elsewhere."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
"""Numbers of glibc's settings: free bytes to keep, and the least piece that goes back at once."""

NAMES: Final = {
    M_TRIM_THRESHOLD: ("MALLOC_TRIM_THRESHOLD_", "glibc.malloc.trim_threshold"),
    M_MMAP_THRESHOLD: ("MALLOC_MMAP_THRESHOLD_", "glibc.malloc.mmap_threshold"),
}
"""Variable of the environment, and entry of ``GLIBC_TUNABLES``, by which a user sets each; that
stays as it is."""

KEPT_BYTES: Final = 2**29
LARGEST_KEPT_BYTES: Final = 2**25
"""The most that the second setting can be."""

GIVEN_BACK_BYTES: Final = 2**17
"""Its default, which rises with what is freed unless it is set."""


def keep_freed_memory() -> None:
    """Let what a step of a computation frees serve the next one, in this process from here on.

    By default glibc gives it back to Linux, which clears every page before it comes again: two
    thirds of all page faults of an extraction, a twentieth of its time.
    """
    _set(M_TRIM_THRESHOLD, KEPT_BYTES)
    _set(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)


@contextmanager
def freed_memory_given_back() -> Iterator[None]:
    """Within the block, large pieces go back to Linux as they are freed; afterwards they are kept.

    Blocks of stores are read by several threads, and glibc keeps for each what it has freed.
    """
    _set(M_MMAP_THRESHOLD, GIVEN_BACK_BYTES)
    try:
        yield
    finally:
        keep_freed_memory()


def _set(setting: int, n_bytes: int) -> None:
    variable, tunable = NAMES[setting]
    if variable in os.environ or tunable in os.environ.get("GLIBC_TUNABLES", ""):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(setting, n_bytes)
