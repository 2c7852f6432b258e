"""Compares hard masks with each other (Dice), and brings ground truths to their size."""

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float64, UInt8

from pipeline.entropy.kernels import count_shared, pack_foreground
from pipeline.entropy.mixture_plan import PlannedCell, StatisticOfJudged
from pipeline.mask_statistics import AGREEMENTS, MaskStatistic
from pipeline.vocabulary import JUDGED

HardMasks = UInt8[np.ndarray, "object _ byte"]
"""Masks of each object, cut at 0.5, one bit per pixel (1: foreground), eight pixels in a byte. Each
mask is padded with 0 to whole words of eight bytes."""


def compared_masks(
    cell: PlannedCell, block: slice, mask_code: UInt8[np.ndarray, "object prompt proposal y x"]
) -> dict[StatisticOfJudged, HardMasks]:
    """Cut the masks of a cell at 0.5 for a block of objects, as far as agreements compare them.

    Parameters
    ----------
    cell
        One model in one view.
    block
        The objects, as rows of the cell.
    mask_code
        Mask codes of the objects in ``block``.

    Returns
    -------
    Masks by agreement and judged proposal; left out are agreements that compare no mask of the
    cell.
    """
    n_objects, n_prompts, n_proposals, height, width = mask_code.shape
    members = cell.members[block]
    n_bytes = 8 * -(-height * width // 64)  # whole words
    hard = np.zeros((*members.shape, n_bytes), np.uint8)
    codes = mask_code.reshape(n_objects, n_prompts * n_proposals, height * width)
    pack_foreground(codes, members, hard)
    return {key: hard[:, members_of_key] for key, members_of_key in cell.compared.items()}


def mean_agreements(
    masks: Mapping[str, Sequence[Mapping[StatisticOfJudged, HardMasks]]],
) -> dict[str, Float64[np.ndarray, "..."]]:
    """Mean Dice of each row of ``AGREEMENTS``, by name, as an array with the row's ``dims``.

    ``masks`` has, for each model, the ``compared_masks`` of every cell. An agreement is left out if
    the cells lack its prompt sets.
    """
    available = {agreement for cells in masks.values() for cell in cells for agreement, _ in cell}
    return {
        agreement.name: _mean_agreement(agreement, masks)
        for agreement in AGREEMENTS
        if agreement in available
    }


def _mean_agreement(
    agreement: MaskStatistic, masks: Mapping[str, Sequence[Mapping[StatisticOfJudged, HardMasks]]]
) -> Float64[np.ndarray, "..."]:
    all_cells = [cell for cells in masks.values() for cell in cells]
    groups = [all_cells] if agreement.is_shared else list(masks.values())
    # A single call for all judged proposals and models: a call costs more than its pixels.
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


def _joined(
    cells: Sequence[Mapping[StatisticOfJudged, HardMasks]], key: StatisticOfJudged
) -> HardMasks:
    return np.concatenate([cell[key] for cell in cells if key in cell], axis=1)


def mean_pairwise_dice(hard: HardMasks) -> Float64[np.ndarray, " object"]:
    """Mean Dice of all pairs of masks of each object; 1 if an object has a single mask.

    Dice is ``2 |A ∩ B| / (|A| + |B|)``, and 1 for two masks without foreground, which agree.
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


def truth_at_size(
    mask: Bool[np.ndarray, "h w"], height: int, width: int
) -> Bool[np.ndarray, "y x"]:
    """Resize a ground truth: a pixel is foreground if the object covers more than half of it.

    If the object, thin or tiny, covers no pixel by more than half, the pixels that it covers most
    are foreground.
    """
    # One axis after the other: OpenCV averages areas only if both axes shrink, or both grow.
    wide = cv2.resize(mask.astype(np.float32), (width, len(mask)), interpolation=cv2.INTER_AREA)
    share = np.asarray(cv2.resize(wide, (width, height), interpolation=cv2.INTER_AREA))
    is_foreground = share > 0.5  # noqa: PLR2004 - half
    return is_foreground if is_foreground.any() else share == share.max()
