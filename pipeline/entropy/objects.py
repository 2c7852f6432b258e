"""All that the stage ``entropy`` computes of some objects, from one pass over their masks."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64

from pipeline.entropy import comparisons
from pipeline.entropy.mixtures import MaskCode, object_entropies
from pipeline.entropy.plan import CellRows, Chosen, PlannedCell, plan_cells
from pipeline.mask_statistics import MASK_SCORES, PIXEL_SCORES

ObjectArrays = Mapping[str, Float64[np.ndarray, "..."]]
"""Numbers of some objects by name, with the ``dims`` that ``ENTROPIES``, ``AGREEMENTS``,
``MASK_SCORES`` and ``PIXEL_SCORES`` declare."""

ReadTruth = Callable[[slice], Bool[np.ndarray, "object y x"]]


def object_arrays(
    read_cell: Callable[[str, str], CellRows],
    read_truth: ReadTruth,
    *,
    models: Sequence[str],
    views: Sequence[str],
    block_objects: int,
) -> ObjectArrays:
    """Every entropy, agreement and score of some objects' masks.

    Parameters
    ----------
    read_cell, models, views
        As for ``plan_cells``.
    read_truth
        Returns the ground truth of some of the objects at the size of the masks.
    block_objects
        Objects whose masks are read together, to bound the memory.

    Raises
    ------
    ValueError
        If cells differ in shape.
    """
    cells = plan_cells(read_cell, models=models, views=views)
    parts = [
        _block_arrays(cells, some, read_truth(some), models)
        for some in blocks(len(cells[0].rows.iou), block_objects)
    ]
    return concatenate(parts)


def _block_arrays(
    cells: Sequence[PlannedCell],
    some: slice,
    truth: Bool[np.ndarray, "object y x"],
    models: Sequence[str],
) -> ObjectArrays:
    hard: dict[str, list[Mapping[Chosen, comparisons.HardMasks]]] = {model: [] for model in models}
    counts: dict[str, comparisons.JudgedCounts] = {}
    label = comparisons.pixel_labels(truth)

    def keep(cell: PlannedCell, mask_code: MaskCode) -> None:
        hard[cell.model].append(comparisons.compared_masks(cell, some, mask_code))
        if cell.view == "identity":
            counts[cell.model] = comparisons.judged_counts(mask_code, cell.judged[some], label)

    entropies = object_entropies(cells, some, keep)
    return {
        **entropies,
        **comparisons.mean_agreements(hard),
        **_mask_scores(np.stack([counts[model] for model in models], axis=2)),
    }


def _mask_scores(
    counts: Int64[np.ndarray, "object judged model band truth code"],
) -> ObjectArrays:
    whole = counts.sum(axis=3)
    regions = np.stack([whole, counts[:, :, :, 1]], axis=3)
    return {
        **{score.name: score.compute(whole.sum(axis=-2)) for score in MASK_SCORES},
        **{score.name: score.compute(regions) for score in PIXEL_SCORES},
    }


def blocks(n_objects: int, block_objects: int) -> list[slice]:
    """Cut objects into blocks; the last may be shorter, and there is at least one."""
    starts = range(0, max(1, n_objects), block_objects)
    return [slice(start, min(start + block_objects, n_objects)) for start in starts]


def concatenate(parts: Sequence[ObjectArrays]) -> ObjectArrays:
    """Join the arrays of consecutive parts of the objects."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
