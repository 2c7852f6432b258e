"""What the heads of a split learn from: the features of all models, put together."""

from collections.abc import Mapping

import numpy as np
import xarray
from jaxtyping import Float32, Int

from pipeline.heads.inputs import READ, n_inputs, set_inputs
from pipeline.heads.kinds import KINDS_BY_NAME, HeadSet
from pipeline.heads.objectives import ModelFeatures, TrainingSet, training_set
from pipeline.vocabulary import MODELS
from storage.errors import faults_of
from storage.split.cells import OpenCell, SplitCells
from storage.split.groups import group_index


def read_head_data(cells: SplitCells, head_set: HeadSet) -> TrainingSet:
    """Read what heads learn from: identity cells of all models, which ``model_gap`` compares.

    Parameters
    ----------
    head_set
        The head set whose inputs and targets to read.

    Raises
    ------
    StoreError
        If a store is damaged.
    DataError
        If a score or token is not finite.
    """
    identity = {model: cells.by_name[model, "identity"] for model in MODELS}
    return _read_rows(cells.split, identity, group_index(cells.table), head_set)


def origin_of(cells: SplitCells) -> dict[str, str]:
    """Where rows come from: ``head_origin``, ``n_channels`` and ``features_digest``."""
    return {
        **cells.head_origin,
        "n_channels": str(cells.by_name[MODELS[0], "identity"].n_channels),
        "features_digest": cells.digest(["identity"]),
    }


def _read_rows(
    split: str,
    cells: Mapping[str, OpenCell],
    group: Int[np.ndarray, " object"],
    head_set: HeadSet,
) -> TrainingSet:
    inputs = _read_inputs(cells, len(group), head_set)
    features = {
        model: ModelFeatures(sam_score=cell.scores("sam_score"), iou=cell.scores("iou"))
        for model, cell in cells.items()
    }
    with faults_of(split):
        return training_set(inputs, features, group, protocol=head_set.protocol)


def _read_inputs(
    cells: Mapping[str, OpenCell], n_objects: int, head_set: HeadSet
) -> Float32[np.ndarray, "model object input"]:
    width = n_inputs(KINDS_BY_NAME[head_set.kind], cells[MODELS[0]].n_channels)
    # Filled in place: the inputs of a large split take gigabytes.
    inputs = np.empty((len(cells), n_objects, width), np.float32)
    for model, cell in enumerate(cells.values()):
        start = 0
        for block in cell.blocks("center"):
            some = block_inputs(block, head_set)
            inputs[model, start : start + len(some)] = some
            start += len(some)
    return inputs


def block_inputs(center: xarray.Dataset, head_set: HeadSet) -> Float32[np.ndarray, "object input"]:
    """What heads read of some objects: their features under the prompt ``center``."""
    return set_inputs({name: center[name].to_numpy() for name in READ}, head_set)
