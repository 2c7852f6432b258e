"""The upscaling of SAM2's mask decoder as plain multiplications; pixels are ordered at the end.

Both its transposed convolutions cut each cell into quarters that do not overlap, so that they, the
normalisation and the activations are operations on rows of channels.
"""

from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import layer_norm, linear

Module = Any
"""A module of ``sam2``, which ships no types."""

CPU_CELLS: Final = 4_096
"""Cells that a CPU upscales at once, unless one prompt set has more: they fit into its caches."""


def by_cell(
    level: Float[Tensor, "1 channel y x"], shape: tuple[int, int]
) -> Float[Tensor, "part channel"]:
    """A level's pixels in the order of cells, of the quarters of a cell, and of their quarters.

    >>> level = torch.arange(16.0).view(1, 1, 4, 4)
    >>> by_cell(level, (2, 2))[:, 0].int().tolist()
    [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]
    >>> by_cell(level, (1, 1))[:, 0].int().tolist()
    [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]
    """
    rows, columns = shape
    halvings = (2,) * ((level.shape[2] // rows).bit_length() - 1)
    split = level[0].reshape(-1, rows, *halvings, columns, *halvings)
    n = 1 + len(halvings)
    pairs = [axis for i in range(1, n + 1) for axis in (i, n + i)]
    return split.permute(*pairs, 0).flatten(0, -2)


def upscale(
    stages: Module,
    cells: Float[Tensor, "prompt cell channel"],
    weights: Float[Tensor, "prompt proposal fine_channel"],
    *,
    coarse: Float[Tensor, "cell coarse"],
    fine: Float[Tensor, "quarter fine"],
    shape: tuple[int, int],
) -> Float[Tensor, "prompt proposal y x"]:
    """Logits of masks: weighted sums over the channels of upscaled cells.

    Parameters
    ----------
    stages
        ``output_upscaling`` of a ``MaskDecoder``.
    weights
        Weights of the channels, for each mask.
    coarse, fine
        See ``SharedImage``.
    """
    n_cells = cells.shape[1]
    n_at_once = max(1, CPU_CELLS // n_cells) if cells.device.type == "cpu" else len(cells)
    batches = zip(torch.split(cells, n_at_once), torch.split(weights, n_at_once), strict=True)
    logits = [_upscaled(stages, *batch, coarse, fine) for batch in batches]
    rows, columns = shape
    halved = torch.cat(logits).view(*weights.shape[:2], rows, columns, 2, 2, 2, 2)
    return halved.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(*weights.shape[:2], 4 * rows, 4 * columns)


def normed(rows: Float[Tensor, "*batch channel"], norm: Module) -> Float[Tensor, "*batch channel"]:
    """Rows normalised with the weights of a module, in single precision."""
    shape, weights = rows.shape[-1:], (norm.weight, norm.bias, norm.eps)
    if rows.device.type == "cpu":
        return layer_norm(rows, shape, *weights)  # only a CPU mixes precisions in one pass
    return layer_norm(rows.float(), shape, *weights).to(rows.dtype)


def _upscaled(
    stages: Module, cells: Tensor, weights: Tensor, coarse: Tensor, fine: Tensor
) -> Float[Tensor, "prompt proposal part"]:
    """Logits of a batch of prompt sets, by cell; see ``upscale``."""
    outer, norm, first_act, inner, last_act = stages
    n_prompts = len(cells)
    quarters = _quartered(cells, outer).add_(coarse).view(n_prompts, len(fine), -1)
    quarters = first_act(normed(quarters, norm))
    pixels = last_act(_quartered(quarters, inner).add_(fine))
    return torch.bmm(weights, pixels.view(n_prompts, 4 * len(fine), -1).mT)


def _quartered(
    cells: Float[Tensor, "prompt cell channel"], convolution: Module
) -> Float[Tensor, "prompt cell parts"]:
    """Four pixels for each cell, by a transposed convolution of 2 x 2, stride 2, without bias."""
    weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)
    return linear(cells, weight.to(cells.dtype))
