"""All that the stage ``entropy`` computes of some objects, from one pass over their masks."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float64, Int64

from pipeline.entropy.cell_rows import CellRows
from pipeline.entropy.hard_masks import Compared, HardMasks, compared_masks, mean_agreements
from pipeline.entropy.judged_masks import judged_counts
from pipeline.entropy.mixtures import cell_masks, object_entropies
from pipeline.mask_scores import MASK_SCORES

ObjectArrays = Mapping[str, Float64[np.ndarray, "..."]]
"""Numbers of some objects by name, with the ``dims`` that ``ENTROPIES``, ``AGREEMENTS`` and
``MASK_SCORES`` declare."""


def object_arrays(
    read_cell: Callable[[str, str], CellRows], *, models: Sequence[str], views: Sequence[str]
) -> ObjectArrays:
    """Every entropy, agreement and mask score of some objects; arguments as ``object_entropies``.

    Raises
    ------
    ValueError
        As ``object_entropies``.
    """
    hard: dict[str, list[Mapping[Compared, HardMasks]]] = {model: [] for model in models}
    counts: dict[str, Int64[np.ndarray, "object judged code"]] = {}

    def read_and_keep(model: str, view: str) -> CellRows:
        rows = read_cell(model, view)
        is_identity = view == "identity"
        chosen = cell_masks(
            rows.sam_score,
            rows.iou,
            is_identity=is_identity,
            n_models=len(models),
            n_views=len(views),
        )
        hard[model].append(compared_masks(rows.mask_code, chosen))
        if is_identity:
            counts[model] = judged_counts(rows.mask_code, chosen)
        return rows

    entropies = object_entropies(read_and_keep, models=models, views=views)
    by_model = np.stack([counts[model] for model in models], axis=2)
    scores = {score.name: score.compute(by_model) for score in MASK_SCORES}
    return {**entropies, **mean_agreements(hard), **scores}


def blockwise_arrays(
    read_cell: Callable[[range, str, str], CellRows],
    rows: range,
    *,
    block_objects: int,
    models: Sequence[str],
    views: Sequence[str],
) -> ObjectArrays:
    """Arrays of consecutive objects, one block at a time to bound the memory.

    Parameters
    ----------
    read_cell
        As for ``object_arrays``, but called with the rows to read before model and view.
    """
    return concatenate(
        [
            object_arrays(partial(read_cell, block), models=models, views=views)
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
