"""Agreement of hard masks: a bit per pixel of those that are compared, and their mean Dice."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64, UInt8

from pipeline.entropy.kernels import count_shared, pack_foreground
from pipeline.entropy.plan import Chosen, PlannedCell
from pipeline.mask_statistics import AGREEMENTS, MaskStatistic
from pipeline.vocabulary import JUDGED

HardMasks = UInt8[np.ndarray, "object _ byte"]
"""Some masks of each object: eight pixels a byte, 1 where a mask is foreground, in whole words of
eight bytes."""


def compared_masks(
    cell: PlannedCell, some: slice, mask_code: UInt8[np.ndarray, "object prompt proposal y x"]
) -> dict[Chosen, HardMasks]:
    """Masks of a cell that each comparison takes, of some of the planned objects."""
    n_objects, n_prompts, n_proposals, height, width = mask_code.shape
    members = cell.members[some]
    n_bytes = 8 * -(-height * width // 64)  # whole words
    hard = np.zeros((*members.shape, n_bytes), np.uint8)
    codes = mask_code.reshape(n_objects, n_prompts * n_proposals, height * width)
    pack_foreground(codes, members, hard)
    return {key: hard[:, of_comparison] for key, of_comparison in cell.compared.items()}


def mean_agreements(
    masks: Mapping[str, Sequence[Mapping[Chosen, HardMasks]]],
) -> dict[str, Float64[np.ndarray, "..."]]:
    """Every row of ``AGREEMENTS`` with its ``dims``, from the masks of all cells by model."""
    return {one.name: _mean_agreement(one, masks) for one in AGREEMENTS}


def _mean_agreement(
    agreement: MaskStatistic, masks: Mapping[str, Sequence[Mapping[Chosen, HardMasks]]]
) -> Float64[np.ndarray, "..."]:
    all_cells = [cell for cells in masks.values() for cell in cells]
    groups = [all_cells] if agreement.is_shared else list(masks.values())
    # One call for all judged proposals and models: calls cost more than their pixels.
    hard = np.stack(
        [
            np.stack([_joined(cells, (agreement, judged)) for cells in groups], axis=1)
            for judged in (JUDGED if agreement.follows_judged else JUDGED[:1])
        ],
        axis=1,
    )
    *batch, n_masks, n_bytes = hard.shape
    dice = mean_pairwise_dice(hard.reshape(math.prod(batch), n_masks, n_bytes)).reshape(batch)
    dice = dice[:, :, 0] if agreement.is_shared else dice
    return dice if agreement.follows_judged else dice[:, 0]


def _joined(cells: Sequence[Mapping[Chosen, HardMasks]], key: Chosen) -> HardMasks:
    return np.concatenate([cell[key] for cell in cells if key in cell], axis=1)


def mean_pairwise_dice(hard: HardMasks) -> Float64[np.ndarray, " object"]:
    """Mean Dice of all pairs of an object's masks; 1 for a mask alone.

    Notes
    -----
    ``2 |A ∩ B| / (|A| + |B|)``; two masks without foreground agree, which is 1.
    """
    n_objects, n_masks, _ = hard.shape
    first, second = np.triu_indices(n_masks, 1)
    if not len(first):
        return np.ones(n_objects)
    shared = np.zeros((n_objects, n_masks, n_masks), np.int64)
    count_shared(hard.view(np.uint64), shared)
    size = shared.diagonal(axis1=1, axis2=2)
    total = size[:, first] + size[:, second]
    dice = np.ones(total.shape)
    np.divide(2 * shared[:, first, second], total, out=dice, where=total > 0)
    mean: Float64[np.ndarray, " object"] = dice.mean(axis=1)
    return mean
