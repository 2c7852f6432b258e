"""Upsamples logits to the size of the image as SAM2 does, and cuts them to masks.

No other module decides where a mask is foreground.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numba import njit
from torch import Tensor
from torch.nn.functional import interpolate

GPU_PIXELS: Final = 2**24
"""Number of pixels (after upsampling) that a GPU upsamples at once: 64 MB of logits, and for each
cut 32 MB of masks."""

Filled = tuple[int, int, int]
"""Side of the square to which an image was padded; height and width of the image there, in px."""

Side = tuple[np.ndarray, np.ndarray, np.ndarray]
"""For each row (or column) of the image: the row of logits before it, the row after it, and the
weight of the row after it in the interpolation."""


def at_image(
    logits: Float[Tensor, "prompt proposal y x"], size_px: tuple[int, int]
) -> Float[Tensor, "prompt proposal height width"]:
    """Upsample logits to the image's (height, width) as SAM2: bilinearly, align_corners=False."""
    return interpolate(logits, size_px, mode="bilinear", align_corners=False)


def on_image(
    logits: Float[Tensor, "prompt proposal y x"], filled: Filled | None
) -> Float[Tensor, "prompt proposal rows columns"]:
    """Logits that cover the image alone, without its padding, as SAM 1 computes them.

    They are upsampled to the square and cut. Without padding, they stay as they are.
    """
    if filled is None:
        return logits
    side, height, width = filled
    return at_image(logits, (side, side))[..., :height, :width]


def low_res_on_image(
    logits: Float[Tensor, "prompt proposal y x"], filled: Filled | None
) -> Float[Tensor, "prompt proposal y x"]:
    """Logits that cover the image alone, at low resolution: ``on_image``, at their size before."""
    if filled is None:
        return logits
    size_px = logits.shape[2], logits.shape[3]
    # One prompt set at a time: all at the size of the square would fill the memory.
    return torch.cat([at_image(on_image(rows, filled), size_px) for rows in torch.split(logits, 1)])


def masks_at_image(
    logits: Float[Tensor, "prompt proposal y x"], size_px: tuple[int, int]
) -> Bool[np.ndarray, "prompt proposal height width"]:
    """Masks at the image's (height, width): where the upsampled logits are above 0.

    A CPU skips background, which takes a tenth of the time of ``at_image``.
    """
    if logits.device.type != "cpu":
        from_gpu: Bool[np.ndarray, "prompt proposal height width"]
        from_gpu = (at_image(logits, size_px) > 0).cpu().numpy()
        return from_gpu
    masks = np.zeros((*logits.shape[:2], *size_px), np.bool_)
    rows, columns = _side(logits.shape[2], size_px[0]), _side(logits.shape[3], size_px[1])
    _cut(logits.flatten(0, 1).numpy(), rows, columns, masks.reshape(-1, *size_px))
    return masks


def count_pixels(
    logits: Float[Tensor, "prompt proposal y x"],
    truth: Bool[Tensor, "prompt height width"],
    cuts: Sequence[float],
) -> Int[Tensor, "2 prompt proposal cut"]:
    """Count the pixels of each mask, and of its overlap with the truth, at image size for each cut.

    Parameters
    ----------
    truth
        Ground truth of the object of each prompt set.
    cuts
        Logits at which masks are cut: the pixels with a higher logit are the mask.

    Returns
    -------
    Along the first axis: pixels of the mask, then pixels that the mask shares with the truth.
    """
    if logits.device.type != "cpu":
        return count_pixels_by_torch(logits, truth, cuts)
    counts = np.zeros((2, *logits.shape[:2], len(cuts)), np.int64)
    rows, columns = _side(logits.shape[2], truth.shape[1]), _side(logits.shape[3], truth.shape[2])
    limits = np.asarray(cuts, np.float32)
    _count(logits.contiguous().numpy(), truth.numpy(), rows, columns, limits, counts)
    return torch.from_numpy(counts)


def count_pixels_by_torch(
    logits: Float[Tensor, "prompt proposal y x"],
    truth: Bool[Tensor, "prompt height width"],
    cuts: Sequence[float],
) -> Int[Tensor, "2 prompt proposal cut"]:
    """Count pixels as ``count_pixels`` does, but in PyTorch on any device.

    On a GPU it queues the work and returns at once: reading the counts waits.
    """
    size_px = (truth.shape[1], truth.shape[2])
    step = max(1, GPU_PIXELS // (logits.shape[1] * truth[0].numel()))
    limits = _limits(tuple(cuts), logits.device)
    counts = logits.new_empty((2, *logits.shape[:2], len(cuts)), dtype=torch.int64)
    batches = (torch.split(tensor, step) for tensor in (logits, truth, *counts))
    for low_res, inside, n_above, n_shared in zip(*batches, strict=True):
        is_above = at_image(low_res, size_px)[:, :, None] > limits
        torch.sum(is_above, (-2, -1), out=n_above)
        torch.sum(is_above.logical_and_(inside[:, None, None]), (-2, -1), out=n_shared)
    return counts


@lru_cache(maxsize=8)
def _limits(cuts: tuple[float, ...], device: torch.device) -> Float[Tensor, "cut 1 1"]:
    """Cuts as a tensor on a device, cached: each copy to the device would wait for the GPU."""
    return torch.tensor(cuts, device=device)[:, None, None]


@lru_cache(maxsize=64)
def _side(n_logits: int, n_pixels: int) -> Side:
    scale = np.float32(n_logits / n_pixels)
    place = ((np.arange(n_pixels, dtype=np.float32) + np.float32(0.5)) * scale - 0.5).clip(min=0)
    before = place.astype(np.int64)
    return before, np.minimum(before + 1, n_logits - 1), (place - before).astype(np.float32)


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _cut(logits, rows, columns, masks):  # noqa: ANN001, ANN202 - checkers cannot wrap it
    """Upsample logits, and write True into ``masks`` where they are above 0.

    ``logits`` is float32 (mask, y, x); ``rows`` and ``columns`` are the ``Side`` of the image's
    height and of its width; ``masks`` is bool (mask, height, width), all False before.
    """
    above, below, shares = rows
    wide = np.empty((logits.shape[1], columns[0].size), np.float32)
    highest = np.empty(logits.shape[1], np.float32)
    for mask in range(logits.shape[0]):
        _widen(logits[mask], columns, np.float32(0), highest, wide)
        for y in range(above.size):
            if max(highest[above[y]], highest[below[y]]) > 0:
                upper, lower = wide[above[y]], wide[below[y]]
                weight, other_weight = shares[y], np.float32(1) - shares[y]
                row = masks[mask, y]
                for x in range(row.size):
                    row[x] = other_weight * upper[x] + weight * lower[x] > 0


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _count(logits, truth, rows, columns, cuts, counts):  # noqa: ANN001, ANN202 - as above
    """Upsample logits; count the pixels above each cut, first all, then those inside the truth.

    ``logits`` is float32 (prompt, proposal, y, x); ``truth`` bool (prompt, height, width); ``rows``
    and ``columns`` are the ``Side`` of the image's height and of its width; ``cuts`` is float32
    (cut,), logits; ``counts`` int64 (2, prompt, proposal, cut), all 0 before, written.
    """
    above, below, shares = rows
    wide = np.empty((logits.shape[2], columns[0].size), np.float32)
    highest = np.empty(logits.shape[2], np.float32)
    line = np.empty(columns[0].size, np.float32)
    lowest = cuts.min()
    for prompt in range(logits.shape[0]):
        for proposal in range(logits.shape[1]):
            _widen(logits[prompt, proposal], columns, lowest, highest, wide)
            for y in range(above.size):
                limit = max(highest[above[y]], highest[below[y]])
                if limit <= lowest:
                    continue
                upper, lower = wide[above[y]], wide[below[y]]
                weight, other_weight = shares[y], np.float32(1) - shares[y]
                for x in range(line.size):
                    line[x] = other_weight * upper[x] + weight * lower[x]
                for cut in range(cuts.size):
                    if limit <= cuts[cut]:
                        continue  # no pixel lies above all the logits around it
                    n_above, n_shared = np.int32(0), np.int32(0)
                    for x in range(line.size):
                        is_above = np.int32(line[x] > cuts[cut])
                        n_above += is_above
                        n_shared += is_above & np.int32(truth[prompt, y, x])
                    counts[0, prompt, proposal, cut] += n_above
                    counts[1, prompt, proposal, cut] += n_shared


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _widen(logits, columns, limit, highest, wide):  # noqa: ANN001, ANN202 - as above
    """Upsample rows of logits to the width of the image, if the row or a neighbour exceeds a limit.

    ``logits`` is float32 (y, x); ``columns`` the ``Side`` of the image's width; ``limit`` a logit
    that a row must exceed somewhere; ``highest`` float32 (y,), written: the highest logit of each
    row; ``wide`` float32 (y, width), written where a row is upsampled.
    """
    before, after, shares = columns
    n_rows = logits.shape[0]
    for y in range(n_rows):
        highest[y] = logits[y].max()
    for y in range(n_rows):
        if max(highest[max(y - 1, 0)], highest[y], highest[min(y + 1, n_rows - 1)]) > limit:
            row = logits[y]
            for x in range(before.size):
                other_weight = np.float32(1) - shares[x]
                wide[y, x] = other_weight * row[before[x]] + shares[x] * row[after[x]]
