"""Threads in which heads are trained."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread_each() -> Iterator[int]:
    """Let whatever is trained within the block compute with one thread.

    Yields
    ------
    How many PyTorch may use: as many can train at once.

    Notes
    -----
    The products of a step are small: a second thread costs more than it saves. And last bits may
    depend on how many share a sum.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield n_threads
    finally:
        torch.set_num_threads(n_threads)
