"""Agreement of hard masks: a bit per pixel of those that are compared, and their mean Dice."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float64, UInt8, UInt32

from pipeline.agreements import AGREEMENTS, Agreement
from pipeline.entropies import CellMasks
from pipeline.entropy.kernels import pack_foreground
from pipeline.vocabulary import JUDGED

HardMasks = UInt8[np.ndarray, "object _ byte"]
"""Some masks of each object: eight pixels a byte, 1 where a mask is foreground."""

Compared = tuple[Agreement, str]
"""An agreement, and the judged proposal where it follows that."""

COMPARED: Final[tuple[Compared, ...]] = tuple(
    (agreement, judged)
    for agreement in AGREEMENTS
    for judged in (JUDGED if agreement.follows_judged else JUDGED[:1])
)
"""Every comparison of masks."""


def compared_masks(
    mask_code: UInt8[np.ndarray, "object prompt proposal y x"], chosen: Mapping[str, CellMasks]
) -> dict[Compared, HardMasks]:
    """Masks of a cell that each of ``COMPARED`` compares; ``chosen`` by judged proposal."""
    is_member = {
        (agreement, judged): agreement.members(chosen[judged]) > 0 for agreement, judged in COMPARED
    }
    is_used = np.any([one.any(axis=(0, 2)) for one in is_member.values()], axis=0)
    # Most cells are of views in which only the first click counts: the others are not packed.
    clicks = slice(int(np.flatnonzero(is_used).max(initial=-1)) + 1)
    n_objects, n_clicks, n_proposals, height, width = mask_code[:, clicks].shape
    n_bytes = -(-height * width // 8)
    hard = np.zeros((n_objects, n_clicks, n_proposals, n_bytes), np.uint8)
    for codes, packed in zip(mask_code, hard, strict=True):
        pack_foreground(
            codes[clicks].reshape(n_clicks * n_proposals, height * width),
            packed.reshape(n_clicks * n_proposals, n_bytes),
        )
    return {
        key: hard[one[:, clicks]].reshape(n_objects, one.sum() // max(1, n_objects), n_bytes)
        for key, one in is_member.items()
    }


def mean_agreements(
    masks: Mapping[str, Sequence[Mapping[Compared, HardMasks]]],
) -> dict[str, Float64[np.ndarray, "..."]]:
    """Every row of ``AGREEMENTS`` with its ``dims``, from the masks of all cells by model."""
    found: dict[str, list[Float64[np.ndarray, "..."]]] = {}
    for agreement, judged in COMPARED:
        by_model = [
            np.concatenate([cell[agreement, judged] for cell in cells], axis=1)
            for cells in masks.values()
        ]
        dice = (
            mean_pairwise_dice(np.concatenate(by_model, axis=1))
            if agreement.is_shared
            else np.stack([mean_pairwise_dice(hard) for hard in by_model], axis=-1)
        )
        found.setdefault(agreement.name, []).append(dice)
    return {
        one.name: np.stack(found[one.name], axis=1) if one.follows_judged else found[one.name][0]
        for one in AGREEMENTS
    }


def mean_pairwise_dice(hard: HardMasks) -> Float64[np.ndarray, " object"]:
    """Mean Dice of all pairs of an object's masks; 1 for a mask alone.

    Notes
    -----
    ``2 |A ∩ B| / (|A| + |B|)``; two masks without foreground agree, which is 1.
    """
    first, second = np.triu_indices(hard.shape[1], 1)
    if not len(first):
        return np.ones(len(hard))
    size = _foreground_px(hard)
    total = size[:, first] + size[:, second]
    shared = _foreground_px(hard[:, first] & hard[:, second])
    dice = np.ones(total.shape)
    np.divide(2 * shared, total, out=dice, where=total > 0)
    mean: Float64[np.ndarray, " object"] = dice.mean(axis=1)
    return mean


def _foreground_px(hard: HardMasks) -> UInt32[np.ndarray, "object _"]:
    size: UInt32[np.ndarray, "object _"] = np.bitwise_count(hard).sum(axis=-1, dtype=np.uint32)
    return size
