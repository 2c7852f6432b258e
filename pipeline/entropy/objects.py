"""Computes all arrays of the stage ``entropy`` for some objects in one pass over their masks."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int64

from pipeline.entropy import comparisons
from pipeline.entropy.mixture_plan import CellRows, PlannedCell, StatisticOfJudged, plan_cells
from pipeline.entropy.mixtures import MaskCode, ObjectArrays, mixture_arrays
from pipeline.mask_statistics import CUT_SCORES, MASK_SCORES, PIXEL_SCORES

ReadTruth = Callable[[slice], Bool[np.ndarray, "object y x"]]
"""Takes a block of objects; returns their ground truths at the size of the masks."""


def object_arrays(
    read_cell: Callable[[str, str], CellRows],
    read_truth: ReadTruth,
    *,
    models: Sequence[str],
    views: Sequence[str],
    block_objects: int,
) -> ObjectArrays:
    """Compute every entropy, agreement and score of the masks of some objects.

    ``read_cell``, ``models`` and ``views`` are as for ``plan_cells``. ``block_objects`` is the
    number of objects whose masks are read together, which bounds the memory.
    """
    cells = plan_cells(read_cell, models=models, views=views)
    return concatenate(
        [
            _block_arrays(cells, block, read_truth(block), models)
            for block in blocks(len(cells[0].rows.iou), block_objects)
        ]
    )


def _block_arrays(
    cells: Sequence[PlannedCell],
    block: slice,
    truth: Bool[np.ndarray, "object y x"],
    models: Sequence[str],
) -> ObjectArrays:
    hard: dict[str, list[Mapping[StatisticOfJudged, comparisons.HardMasks]]]
    hard = {model: [] for model in models}
    counts: dict[str, comparisons.JudgedCounts] = {}
    label = comparisons.pixel_labels(truth)

    def compare(cell: PlannedCell, mask_code: MaskCode) -> None:
        hard[cell.model].append(comparisons.compared_masks(cell, block, mask_code))
        if cell.view == "identity":
            counts[cell.model] = comparisons.judged_counts(mask_code, cell.judged[block], label)

    arrays = mixture_arrays(cells, block, truth, compare)
    of_logits = [cell.judged_entropy[block] for cell in cells if cell.view == "identity"]
    return {
        **arrays,
        # Coding changes the entropy of a single mask more than that of a mean of many.
        "h_std": np.stack(of_logits, axis=2).astype(np.float64),
        **comparisons.mean_agreements(hard),
        **_mask_scores(np.stack([counts[model] for model in models], axis=2)),
    }


def _mask_scores(
    counts: Int64[np.ndarray, "object judged model band truth code"],
) -> ObjectArrays:
    frame, band = counts.sum(axis=3), counts[:, :, :, 1]
    regions = np.stack([frame, band], axis=3)
    return {
        **{score.name: score.compute(frame.sum(axis=-2)) for score in MASK_SCORES},
        **{score.name: score.compute(frame) for score in CUT_SCORES},
        **{score.name: score.compute(regions) for score in PIXEL_SCORES},
    }


def blocks(n_objects: int, block_objects: int) -> list[slice]:
    """Divide objects into blocks of ``block_objects``; the last block may be shorter.

    Without objects, there is one empty block.
    """
    starts = range(0, max(1, n_objects), block_objects)
    return [slice(start, min(start + block_objects, n_objects)) for start in starts]


def concatenate(blocks_of_arrays: Sequence[ObjectArrays]) -> ObjectArrays:
    """Join the arrays of consecutive blocks of objects, by name; there must be a block."""
    first = blocks_of_arrays[0]
    return {name: np.concatenate([arrays[name] for arrays in blocks_of_arrays]) for name in first}
