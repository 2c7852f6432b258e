"""IoU of predicted masks with the true one, at the resolution of the image."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor
from torch.nn.functional import interpolate

UPSAMPLED_PIXELS: Final = 2**20
"""Mask pixels at image resolution held at once: 4 MB of logits, about what caches hold."""

LARGE_BOX: Final = 0.6
"""Share of the image from which a box hardly saves time, as its edges are computed, too."""


def mask_iou(
    logits: Float[Tensor, "prompt proposal y x"], ground_truth: Bool[Tensor, "prompt height width"]
) -> Float[Tensor, "prompt proposal"]:
    """IoU with the ground truth at image resolution.

    Notes
    -----
    As in SAM2: logits are upsampled bilinearly (align_corners=False) and cut at 0.
    """
    size = ground_truth.shape[-2:]
    step = max(1, UPSAMPLED_PIXELS // (logits.shape[1] * size.numel()))
    parts = [
        _cut_iou(
            interpolate(some, size, mode="bilinear", align_corners=False) > 0, truth, _area(truth)
        )
        for some, truth in zip(
            torch.split(logits, step), torch.split(ground_truth, step), strict=True
        )
    ]
    return torch.cat(parts)


def boxed_iou(
    logits: Float[Tensor, "prompt proposal y x"], ground_truth: Bool[Tensor, "prompt height width"]
) -> Float[Tensor, "prompt proposal"]:
    """The same, upsampled only within the box outside of which no logit is positive.

    Where the box is has to be known first, so a GPU would have to be waited for.
    """
    size = ground_truth.shape[1:]
    rows, columns = (stretched(n, to) for n, to in zip(logits.shape[2:], size, strict=True))
    highest = logits.amax(1)
    by_row, by_column = ((highest.amax(axis) > 0).numpy() for axis in (2, 1))
    found = []
    for i, truth in enumerate(ground_truth):
        high, wide = rows.around(by_row[i]), columns.around(by_column[i])
        if len(high.share) * len(wide.share) > LARGE_BOX * size.numel():
            found.append(mask_iou(logits[i : i + 1], truth[None]))
        else:
            near = logits[i : i + 1, :, high.near, wide.near]
            cut = high.between(wide.between(near, 3), 2) > 0
            found.append(_cut_iou(cut, truth[None, high.pixels, wide.pixels], _area(truth[None])))
    return torch.cat(found)


@dataclass(frozen=True)
class Stretch:
    """Rows or columns of pixels, each between two of the logits ``near`` them."""

    pixels: slice
    near: slice
    before: Int[Tensor, " pixel"]
    """Counted from the first of ``near``."""
    after: Int[Tensor, " pixel"]
    share: Float32[Tensor, " pixel"]
    """Weight of the one after."""

    def around(self, is_inside: Bool[np.ndarray, " n"]) -> "Stretch":
        """Pixels in which the logits that are inside have a part."""
        inside = np.flatnonzero(is_inside)
        if not len(inside):
            none = slice(0, 0)
            return Stretch(none, slice(0, 1), self.before[none], self.after[none], self.share[none])
        known, start = self.before.numpy(), max(0, int(inside[0]) - 1)
        pixels = slice(
            int(np.searchsorted(known, start)),
            int(np.searchsorted(known, inside[-1], side="right")),
        )
        near = slice(start, int(inside[-1]) + 2)
        before, after = self.before[pixels] - start, self.after[pixels] - start
        return Stretch(pixels, near, before, after, self.share[pixels])

    def between(self, logits: Tensor, axis: int) -> Tensor:
        """Logits at the pixels, along an axis."""
        before, after = (logits.index_select(axis, side) for side in (self.before, self.after))
        return torch.lerp(
            before, after, self.share if axis == logits.ndim - 1 else self.share[:, None]
        )


@lru_cache(maxsize=64)
def stretched(n: int, n_pixels: int) -> Stretch:
    """All pixels of a side, with align_corners=False."""
    at = (
        (torch.arange(n_pixels, dtype=torch.float32, device="cpu") + 0.5) * (n / n_pixels) - 0.5
    ).clamp(min=0)
    before = at.long()
    after = (before + 1).clamp(max=n - 1)
    return Stretch(slice(0, n_pixels), slice(0, n), before, after, at - before)


def _cut_iou(
    cut: Bool[Tensor, "prompt proposal height width"],
    truth: Bool[Tensor, "prompt height width"],
    area: Int[Tensor, " prompt"],
) -> Float[Tensor, "prompt proposal"]:
    """IoU of masks with true ones, of which parts are given and the whole area."""
    shared = _area(cut & truth[:, None])
    union = _area(cut) + area[:, None] - shared
    return (shared.double() / union).float()


def _area(masks: Bool[Tensor, "*batch height width"]) -> Int[Tensor, "*batch"]:
    # Bytes summed into 32 bits: booleans are widened to 64 first, which takes three times as long.
    return masks.view(torch.uint8).flatten(-2).sum(-1, dtype=torch.int32)
