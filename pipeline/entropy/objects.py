"""All that the stage ``entropy`` computes of some objects, from one pass over their masks."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from jaxtyping import Bool, Float64, Int64

from pipeline.entropies import CellMasks
from pipeline.entropy.cell_rows import CellRows
from pipeline.entropy.hard_masks import Compared, HardMasks, compared_masks, mean_agreements
from pipeline.entropy.judged_masks import JudgedCounts, judged_counts, pixel_labels
from pipeline.entropy.mixtures import object_entropies
from pipeline.mask_scores import MASK_SCORES
from pipeline.pixel_scores import PIXEL_SCORES

ObjectArrays = Mapping[str, Float64[np.ndarray, "..."]]
"""Numbers of some objects by name, with the ``dims`` that ``ENTROPIES``, ``AGREEMENTS``,
``MASK_SCORES`` and ``PIXEL_SCORES`` declare."""


def object_arrays(
    read_cell: Callable[[str, str], CellRows],
    truth: Bool[np.ndarray, "object y x"],
    *,
    models: Sequence[str],
    views: Sequence[str],
) -> ObjectArrays:
    """Every entropy, agreement and score of some objects' masks.

    Parameters
    ----------
    read_cell, models, views
        As for ``object_entropies``.
    truth
        Ground truth of the same objects at the size of the masks.

    Raises
    ------
    ValueError
        As ``object_entropies``.
    """
    hard: dict[str, list[Mapping[Compared, HardMasks]]] = {model: [] for model in models}
    counts: dict[str, JudgedCounts] = {}
    label = pixel_labels(truth)

    def keep(rows: CellRows, chosen: Mapping[str, CellMasks], model: str, view: str) -> None:
        hard[model].append(compared_masks(rows.mask_code, chosen))
        if view == "identity":
            counts[model] = judged_counts(rows.mask_code, chosen, label)

    entropies = object_entropies(read_cell, models=models, views=views, keep=keep)
    return {
        **entropies,
        **mean_agreements(hard),
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


def blockwise_arrays(
    read_cell: Callable[[range, str, str], CellRows],
    read_truth: Callable[[range], Bool[np.ndarray, "object y x"]],
    rows: range,
    *,
    block_objects: int,
    models: Sequence[str],
    views: Sequence[str],
) -> ObjectArrays:
    """Arrays of consecutive objects, one block at a time to bound the memory.

    Parameters
    ----------
    read_cell, read_truth
        Return what ``object_arrays`` takes of the rows that they are called with.
    """
    return concatenate(
        [
            object_arrays(partial(read_cell, block), read_truth(block), models=models, views=views)
            for block in blocks(rows, block_objects)
        ]
    )


def blocks(rows: range, block_objects: int) -> list[range]:
    """Cut consecutive rows into blocks; the last may be shorter."""
    if block_objects < 1:
        raise ValueError(f"block_objects must be >= 1, got {block_objects}")
    return [rows[i : i + block_objects] for i in range(0, len(rows), block_objects)]


def concatenate(parts: Sequence[ObjectArrays]) -> ObjectArrays:
    """Join the arrays of consecutive parts of the objects."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
