"""Computes all arrays of the stage ``entropy`` for some objects in one pass over their masks."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from pipeline.entropy import comparisons
from pipeline.entropy.mixture_plan import CellRows, PlannedCell, StatisticOfJudged, plan_cells
from pipeline.entropy.mixtures import MaskCode, ObjectArrays, mixture_arrays
from pipeline.mask_statistics import OF_FEATURES

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
    """Compute every entropy and agreement of the masks of some objects.

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

    def compare(cell: PlannedCell, mask_code: MaskCode) -> None:
        hard[cell.model].append(comparisons.compared_masks(cell, block, mask_code))

    of_identity = [cell.of_judged for cell in cells if cell.view == "identity"]
    return {
        **mixture_arrays(cells, block, truth, compare),
        **comparisons.mean_agreements(hard),
        # Last, so that H_Std is of the logits, not of the mixture of one mask's codes.
        **{
            name: np.stack([of_judged[name][block] for of_judged in of_identity], axis=2)
            for name in OF_FEATURES
        },
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
