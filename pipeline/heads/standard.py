"""Standardised inputs: less their mean, over their standard deviation in training."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from pipeline.heads.predict import STANDARD, HeadWeights

BLOCK_ROWS: Final = 1024
"""Rows that a thread has in double precision at once: bounds its memory."""

_LEAST_SPREAD: Final = 1e-6
"""Inputs that vary by less, relative to their size, count as constant: dividing by rounding errors
would blow them up."""


class Inputs:
    """Rows of inputs, standardised as they are taken, or as they are."""

    def __init__(
        self, inputs: Float32[np.ndarray, "row input"], scale: HeadWeights | None = None
    ) -> None:
        self._rows = torch.from_numpy(inputs)
        self._scale = [torch.from_numpy(scale[name]) for name in STANDARD] if scale else None

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return self._rows.shape[1]

    def take(self, rows: Int[Tensor, " some"]) -> Float[Tensor, "some input"]:
        """Some of the rows."""
        taken = self._rows[rows]
        if self._scale is None:
            return taken
        mean, deviation = self._scale
        return taken.sub_(mean).div_(deviation)


def standard_of(
    inputs: Float32[np.ndarray, "row input"], rows: Int[np.ndarray, " train"]
) -> dict[str, np.ndarray]:
    """Mean and standard deviation of every input over some rows, as a head holds them.

    An input that is constant gets the deviation 1, so that it enters as 0.
    """
    mean = _sum(_blocks(inputs, rows)) / len(rows)
    square = _sum(_squares(_blocks(inputs, rows), mean)) / len(rows)
    deviation = np.sqrt(square)
    is_constant = deviation <= _LEAST_SPREAD * np.maximum(1, np.abs(mean))
    values = mean, np.where(is_constant, 1, deviation)
    return {name: value.astype(np.float32) for name, value in zip(STANDARD, values, strict=True)}


def _sum(blocks: Iterator[np.ndarray]) -> Float[np.ndarray, " input"]:
    """Sum over the rows of all blocks, which it changes; the same bits in blocks of any size."""
    total: Float[np.ndarray, " input"] = next(blocks).sum(axis=0)
    for block in blocks:
        block[0] += total
        total = block.sum(axis=0)
    return total


def _squares(blocks: Iterator[np.ndarray], mean: np.ndarray) -> Iterator[np.ndarray]:
    for block in blocks:
        np.subtract(block, mean, out=block)
        yield np.square(block, out=block)


def _blocks(inputs: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), BLOCK_ROWS):
        yield inputs[rows[start : start + BLOCK_ROWS]].astype(np.float64)
