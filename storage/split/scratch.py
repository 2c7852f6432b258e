"""Arrays that may be larger than memory, in files that end with them."""

import math
import mmap
import os
from tempfile import TemporaryFile

import numpy as np
from jaxtyping import Float32

from storage.paths import WORK


def scratch_array(shape: tuple[int, ...]) -> Float32[np.ndarray, "..."]:
    """Zeros in the pages of a nameless file in ``cache/work``.

    Where memory is short, the kernel leaves them to the disk; it would kill a process for as much
    memory of its own.

    Raises
    ------
    OSError
        If the disk has no room for all of it.
    """
    n_bytes = 4 * math.prod(shape)
    if not n_bytes:
        return np.zeros(shape, np.float32)
    WORK.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=WORK) as file:
        try:
            # Whoever writes to a page for which there is no room later is killed.
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(WORK)) from error
        pages = mmap.mmap(file.fileno(), n_bytes)
    # Rows are taken in any order: the kernel need not read those beside them.
    pages.madvise(mmap.MADV_RANDOM)
    return np.frombuffer(pages, np.float32).reshape(shape)
