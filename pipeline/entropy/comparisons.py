"""Compares hard masks with each other (Dice), and counts pixels against the ground truth."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float64, Int, Int64, UInt8

from pipeline.entropy.kernels import count_codes, count_shared, pack_foreground
from pipeline.entropy.mixture_plan import PlannedCell, StatisticOfJudged
from pipeline.mask_statistics import AGREEMENTS, MaskStatistic
from pipeline.masks import N_CODES
from pipeline.vocabulary import JUDGED, SINGLE_CLICKS

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


BAND_SHARE: Final = 0.02
"""Width of the band on each side of the outline, as a share of the mask's diagonal."""

Mask = Bool[np.ndarray, "h w"]


JudgedCounts = Int64[np.ndarray, "object judged band truth code"]
"""Number of pixels of each judged mask, by three properties. ``band``: outside or inside the band
along the outline of the ground truth. ``truth``: background or object. ``code``: code of the mask.
"""

_CENTER: Final = SINGLE_CLICKS.index("center")


def truth_at_size(mask: Mask, height: int, width: int) -> Bool[np.ndarray, "y x"]:
    """Resize a ground truth: a pixel is foreground if the object covers more than half of it.

    If the object, thin or tiny, covers no pixel by more than half, the pixels that it covers most
    are foreground.
    """
    # One axis after the other: OpenCV averages areas only if both axes shrink, or both grow.
    wide = cv2.resize(mask.astype(np.float32), (width, len(mask)), interpolation=cv2.INTER_AREA)
    share = np.asarray(cv2.resize(wide, (width, height), interpolation=cv2.INTER_AREA))
    is_foreground = share > 0.5  # noqa: PLR2004 - half
    return is_foreground if is_foreground.any() else share == share.max()


def outline_band(truth: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Pixels near the outline of the ground truth, on both of its sides.

    No pixel if the ground truth fills the frame or is empty.

    Notes
    -----
    A pixel is in the band if the square of ``2 d + 1`` pixels around it, within the frame, has both
    foreground and background. ``d`` is 2 % of the diagonal, at least 1: 7 pixels in 256 x 256, 2 in
    64 x 64. This is the distance of Boundary IoU (Cheng et al., arXiv 2103.16562), which takes the
    inner side alone, and the frame's edge for an outline.
    """
    reach_px = max(1, round(BAND_SHARE * float(np.hypot(*truth.shape))))
    kernel = np.ones((2 * reach_px + 1, 2 * reach_px + 1), np.uint8)
    code = truth.astype(np.uint8)
    # OpenCV's default border adds neither foreground nor background.
    return np.asarray(cv2.dilate(code, kernel) != cv2.erode(code, kernel))


def judged_counts(
    mask_code: UInt8[np.ndarray, "object prompt proposal y x"],
    judged: Int[np.ndarray, "object judged"],
    label: UInt8[np.ndarray, "object pixel"],
) -> JudgedCounts:
    """Count the pixels of each judged mask of the click ``center`` by their label and mask code.

    ``judged`` is the index of the judged proposal, for each of ``JUDGED``; ``label`` is a result of
    ``pixel_labels``.
    """
    n_objects, n_px = label.shape
    counts = np.zeros((n_objects, len(JUDGED), 4, N_CODES), np.int64)
    for i, proposal in enumerate(judged.T):
        judged_code = mask_code[np.arange(n_objects), _CENTER, proposal]
        count_codes(judged_code.reshape(n_objects, n_px), label, counts[:, i])
    return counts.reshape(n_objects, len(JUDGED), 2, 2, N_CODES)


def pixel_labels(truth: Bool[np.ndarray, "object y x"]) -> UInt8[np.ndarray, "object pixel"]:
    """Label each pixel: 1 in the object, 2 in the band along its outline, 3 in both, else 0."""
    label = np.empty(truth.shape, np.uint8)
    for object_truth, object_label in zip(truth, label, strict=True):
        object_label[...] = object_truth + 2 * outline_band(object_truth)
    n_objects, height, width = truth.shape
    return label.reshape(n_objects, height * width)
