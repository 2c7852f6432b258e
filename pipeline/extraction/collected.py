"""Rows of an image's objects, collected from the decoder calls that they come from."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

Rows = dict[str, np.ndarray]
"""Arrays of consecutive objects by their names in the cache."""

Call = tuple[np.ndarray, np.ndarray, Mapping[str, Tensor]]
"""Object and prompt set of each prediction of a decoder call, and what was found, by name."""


class Collected:
    """Arrays ``(object, prompt, ...)`` that fill with every call.

    On a CPU, they fill at once. What a GPU has found stays there until the end and comes through
    pinned memory, for every transfer waits until the GPU has done all that it was asked for.
    """

    def __init__(self, shape: tuple[int, int], *, wait: Callable[[], None] | None) -> None:
        """Begin with none.

        Parameters
        ----------
        shape
            Objects and prompt sets.
        wait
            Waits for the GPU; None on a CPU.
        """
        self._shape = shape
        self._wait = wait
        self._rows: Rows = {}
        self._calls: list[Call] = []

    def add(self, objects: np.ndarray, columns: np.ndarray, found: Mapping[str, Tensor]) -> None:
        """Take what one call has found."""
        call = objects, columns, found
        if self._wait is None:
            self._fill([call])
        else:
            self._calls.append(call)

    def rows(self) -> Rows:
        """What all calls have found."""
        if self._calls:
            self._fill(self._calls)
        return self._rows

    def _fill(self, calls: Sequence[Call]) -> None:
        objects, columns = (np.concatenate([call[part] for call in calls]) for part in (0, 1))
        near = {name: _fetched([found[name] for _, _, found in calls]) for name in calls[0][2]}
        if self._wait is not None:
            self._wait()
        for name, tensor in near.items():
            values = tensor.numpy()
            shape = (*self._shape, *values.shape[1:])
            self._rows.setdefault(name, np.empty(shape, values.dtype))[objects, columns] = values


def _fetched(parts: Sequence[Tensor]) -> Tensor:
    together = torch.cat(list(parts)) if len(parts) > 1 else parts[0]
    # Not waited for, the copy goes to pinned memory.
    return together.to("cpu", non_blocking=True)
