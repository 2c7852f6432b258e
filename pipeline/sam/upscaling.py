"""The upscaling of SAM2's mask decoder as matrix products; pixels are put in order at the end.

Each of its two transposed convolutions divides cells into four quarters that do not overlap. So the
convolutions, the normalisation and the activations are operations on rows of channels.
"""

from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import layer_norm, linear

Module = Any
"""A module of ``sam2``, which ships no types."""

CPU_CELLS: Final = 4_096
"""Number of cells that a CPU upscales at once, so that they fit into its caches; at least the cells
of one prompt set."""


def by_cell(
    level: Float[Tensor, "1 channel y x"], shape: tuple[int, int]
) -> Float[Tensor, "part channel"]:
    """Order a level's pixels by cell, then by quarter of the cell, then by quarter of the quarter.

    ``shape`` has the rows and columns of cells: the level's own, divided by a power of 2.

    >>> level = torch.arange(16.0).view(1, 1, 4, 4)
    >>> by_cell(level, (2, 2))[:, 0].int().tolist()
    [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]
    """
    rows, columns = shape
    halvings = (2,) * ((level.shape[2] // rows).bit_length() - 1)
    split = level[0].reshape(-1, rows, *halvings, columns, *halvings)
    n = 1 + len(halvings)
    pairs = [axis for i in range(1, n + 1) for axis in (i, n + i)]
    return split.permute(*pairs, 0).flatten(0, -2)


class Upscaling:
    """SAM2's upscaling of cells to logits, with its weights in the order of the products.

    ``stages`` is ``output_upscaling`` of a ``MaskDecoder``; ``dtype`` is the type of the cells.
    """

    def __init__(self, stages: Module, dtype: torch.dtype) -> None:
        outer, self._norm, self._outer_act, inner, self._inner_act = stages
        self._outer = _by_quarter(outer.weight, dtype)
        self._inner = _by_quarter(inner.weight, dtype)
        self.biases = inner.bias, outer.bias
        """Biases to add to the features at the resolution of the pixels and of the quarters."""

    def upscale(
        self,
        cells: Float[Tensor, "prompt cell channel"],
        weights: Float[Tensor, "prompt proposal fine_channel"],
        *,
        coarse: Float[Tensor, "cell coarse"],
        fine: Float[Tensor, "quarter fine"],
        shape: tuple[int, int],
    ) -> Float[Tensor, "prompt proposal y x"]:
        """Upscale each cell to 4 x 4 pixels; sum their channels, weighted, to the logits of masks.

        Parameters
        ----------
        cells
            Image tokens of each prompt set, after the transformer.
        weights
            Weights of the upscaled channels, for each mask of each prompt set.
        coarse, fine
            Terms to add to the four quarters of each cell, and to the four quarters of each
            quarter.
        shape
            Rows and columns of cells.
        """
        n_cells = cells.shape[1]
        n_at_once = max(1, CPU_CELLS // n_cells) if cells.device.type == "cpu" else len(cells)
        batches = zip(torch.split(cells, n_at_once), torch.split(weights, n_at_once), strict=True)
        logits = [self._upscaled(*batch, coarse, fine) for batch in batches]
        rows, columns = shape
        joined = torch.cat(logits) if len(logits) > 1 else logits[0]
        halved = joined.view(*weights.shape[:2], rows, columns, 2, 2, 2, 2)
        ordered = halved.permute(0, 1, 2, 4, 6, 3, 5, 7)
        return ordered.reshape(*weights.shape[:2], 4 * rows, 4 * columns)

    def _upscaled(
        self, cells: Tensor, weights: Tensor, coarse: Tensor, fine: Tensor
    ) -> Float[Tensor, "prompt proposal part"]:
        """Logits of a batch of prompt sets; pixels are in the order of ``by_cell``."""
        n_prompts = len(cells)
        quarters = linear(cells, self._outer).add_(coarse).view(n_prompts, len(fine), -1)
        quarters = self._outer_act(normed(quarters, self._norm))
        pixels = self._inner_act(linear(quarters, self._inner).add_(fine))
        return torch.bmm(weights, pixels.view(n_prompts, 4 * len(fine), -1).mT)


def normed(rows: Float[Tensor, "*batch channel"], norm: Module) -> Float[Tensor, "*batch channel"]:
    """Normalise each row with the weights of a layer norm, in single precision.

    The result has the type of ``rows``.
    """
    shape, weights = rows.shape[-1:], (norm.weight, norm.bias, norm.eps)
    if rows.device.type == "cpu":
        return layer_norm(rows, shape, *weights)  # only a CPU mixes precisions in one pass
    return layer_norm(rows.float(), shape, *weights).to(rows.dtype)


def _by_quarter(
    weight: Float[Tensor, "channel part 2 2"], dtype: torch.dtype
) -> Float[Tensor, "parts channel"]:
    """Weight of a linear layer that divides each cell into four, like a transposed convolution.

    The convolution is of 2 x 2 with stride 2; its bias is not applied.
    """
    return weight.permute(2, 3, 1, 0).flatten(0, 2).to(dtype)
