"""Masks compared: hard ones with each other, a bit per pixel, and judged ones with the truth."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float64, Int, Int64, UInt8

from pipeline.entropy.kernels import count_codes, count_shared, pack_foreground
from pipeline.entropy.plan import Chosen, PlannedCell
from pipeline.mask_statistics import AGREEMENTS, MaskStatistic
from pipeline.masks import N_CODES
from pipeline.vocabulary import JUDGED, SINGLE_CLICKS

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
    """Every row of ``AGREEMENTS`` with its ``dims``, from the masks of all cells by model.

    An optional one is left out where the cells lack its prompt sets.
    """
    there = {one for cells in masks.values() for cell in cells for one, _ in cell}
    return {one.name: _mean_agreement(one, masks) for one in AGREEMENTS if one in there}


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


BAND_SHARE: Final = 0.02
"""Reach of the band to either side of the outline, as a share of the mask's diagonal."""

Mask = Bool[np.ndarray, "h w"]


JudgedCounts = Int64[np.ndarray, "object judged band truth code"]
"""Pixels of judged masks: far from the outline of the ground truth or near it, of the background
or of the object, of each code."""

_CENTER: Final = SINGLE_CLICKS.index("center")


def truth_at_size(mask: Mask, height: int, width: int) -> Bool[np.ndarray, "y x"]:
    """Ground truth of an image at another size: foreground where more than half of a pixel is.

    Where none is, as for a thin or tiny object, the pixels with the largest share of it.
    """
    # One axis at a time: OpenCV averages areas only where both axes shrink, or both grow.
    wide = cv2.resize(mask.astype(np.float32), (width, len(mask)), interpolation=cv2.INTER_AREA)
    share = np.asarray(cv2.resize(wide, (width, height), interpolation=cv2.INTER_AREA))
    is_foreground = share > 0.5  # noqa: PLR2004 - half
    return is_foreground if is_foreground.any() else share == share.max()


def outline_band(truth: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Pixels near the outline of the ground truth, on either side.

    Notes
    -----
    Those whose square of ``2 d + 1`` pixels, within the frame, holds both foreground and
    background. ``d`` is 2 % of the diagonal, at least 1: 7 of 256 x 256 pixels, 2 of 64 x 64. This
    is the distance of Boundary IoU (Cheng et al., arXiv 2103.16562), which looks at the inner side
    alone and takes the frame's edge for an outline. Empty where the truth fills the frame.
    """
    reach_px = max(1, round(BAND_SHARE * float(np.hypot(*truth.shape))))
    kernel = np.ones((2 * reach_px + 1, 2 * reach_px + 1), np.uint8)
    code = truth.astype(np.uint8)
    # Beyond the frame, OpenCV assumes what changes nothing.
    return np.asarray(cv2.dilate(code, kernel) != cv2.erode(code, kernel))


def judged_counts(
    mask_code: UInt8[np.ndarray, "object prompt proposal y x"],
    judged: Int[np.ndarray, "object judged"],
    label: UInt8[np.ndarray, "object pixel"],
) -> JudgedCounts:
    """Count the pixels of the judged masks of the click ``center``, in the order of ``JUDGED``.

    Parameters
    ----------
    judged
        The proposals.
    label
        As ``pixel_labels`` gives them.
    """
    n_objects, n_px = label.shape
    counts = np.zeros((n_objects, len(JUDGED), 4, N_CODES), np.int64)
    for place, proposal in enumerate(judged.T):
        judged_code = mask_code[np.arange(n_objects), _CENTER, proposal]
        count_codes(judged_code.reshape(n_objects, n_px), label, counts[:, place])
    return counts.reshape(n_objects, len(JUDGED), 2, 2, N_CODES)


def pixel_labels(truth: Bool[np.ndarray, "object y x"]) -> UInt8[np.ndarray, "object pixel"]:
    """1 for pixels of the object, 2 for those near its outline, 3 for both, 0 for neither."""
    label = np.empty(truth.shape, np.uint8)
    for of_object, row in zip(truth, label, strict=True):
        row[...] = of_object + 2 * outline_band(of_object)
    n_objects, height, width = truth.shape
    return label.reshape(n_objects, height * width)
