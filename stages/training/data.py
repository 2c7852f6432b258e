"""Reads the training data of heads from the cells of a train split."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from jaxtyping import Float32, Int

from pipeline.heads.image_axes import MOST_IMAGES, ImageAxes, fit_axes
from pipeline.heads.kinds import KINDS_BY_NAME, HeadSet
from pipeline.heads.objectives import TrainingSet, training_set
from pipeline.heads.predict import INPUT_ARRAYS, inputs_of_proposals, n_inputs, set_inputs
from pipeline.heads.training_images import LEAST_IMAGES, TrainingImages, fit_training_images
from pipeline.vocabulary import (
    IMAGE_STATISTICS,
    N_PROPOSALS,
    NO_STATISTICS,
    TRAIN_PROMPTS,
    TREES,
)
from storage.errors import counted, faults_of
from storage.files.addresses import files_at
from storage.files.manifest import ROOT
from storage.images.videos import video_of
from storage.paths import features_path, located, objects_path
from storage.split.object_table import ObjectTable, read_objects_of
from storage.split.split_cells import Expected, OpenCell, SplitCells, open_cells
from storage.store.inspection import Store
from storage.store.opening import read_array

FEATURES: Final = "features_digest"
"""Name of the entry in a head file's card with the digest of the cells that heads learned from."""

OBJECTS: Final = "objects_digest"
"""Name of the entry in a head file's card with the digest of the objects of the train split."""


def read_head_data(cells: SplitCells, head_set: HeadSet) -> TrainingSet:
    """Read the inputs and targets of a head set from the cells of a train split.

    Heads of a kind that learns every prompt learn from all views, others from ``identity`` alone.

    Values are not checked: training refuses NaN and infinity.

    Raises
    ------
    StoreError
        If a store is damaged.
    """
    group, prompts = group_index(cells.table), learned_prompts(cells, head_set)
    views = cells.views if KINDS_BY_NAME[head_set.kind].learns_every_prompt else ("identity",)
    by_view = [{model: cells.by_name[model, view] for model in cells.models} for view in views]
    axes = _image_axes(by_view, cells.table, head_set)
    inputs = _read_inputs(by_view, prompts, len(group), head_set, axes)
    features = [
        {
            model: replace(cell.proposals(prompt), iou_at_cut=cell.iou_at_cut(prompt))
            if head_set.learns_every_proposal
            else cell.proposals(prompt)
            for model, cell in of_view.items()
        }
        for of_view in by_view
        for prompt in prompts
    ]
    with faults_of(cells.split):
        return training_set(inputs, features, group, head_set=head_set, axes=axes)


def learned_prompts(cells: SplitCells, head_set: HeadSet) -> tuple[str, ...]:
    """Names of the prompt sets that the heads of a head set learn from.

    By the kind of the heads, these are all prompt sets of the cells, or ``center`` alone.
    """
    prompts: Sequence[str] = cells.identity[cells.models[0]].signature["prompts"]
    learns_all = KINDS_BY_NAME[head_set.kind].learns_every_prompt
    return tuple(prompts) if learns_all else TRAIN_PROMPTS[:1]


def origin_of(cells: SplitCells) -> dict[str, str]:
    """Entries of a head file's card that identify the features that its heads learned from.

    The entries are those of ``SplitCells.head_origin``, the number of channels of a token
    (``n_channels``), and the digest of the cells (``FEATURES``).
    """
    return {
        **cells.head_origin,
        "n_channels": str(cells.identity[cells.models[0]].n_channels),
        FEATURES: cells.digest(cells.views),
    }


def learned_from(split: str, expected: Expected, cache: str | Path) -> dict[str, str]:
    """Entry that the card of a head file must have if its heads learned from the data on disk.

    The entry is the digest of the features or, if features are missing, the digest of the objects.
    The mapping is empty if the objects are missing, as in a clone that pulled heads alone.

    Parameters
    ----------
    split
        The train split of the heads.
    expected
        Entries that the signatures of its cells must have, by model and view.
    cache
        Folder or address of the cache.

    Raises
    ------
    StoreError
        If a store is damaged, or the features were made under other settings than ``expected``, or
        from other objects than the split has now.
    """
    if not _is_here(objects_path(split), cache):
        return {}
    if all(_is_here(features_path(split, *name), cache) for name in expected):
        cells = open_cells(split, expected, cache=cache)
        return {FEATURES: cells.digest(cells.views)}
    return {OBJECTS: read_objects_of(split, cache).digest}


def _is_here(path: Path, cache: str | Path) -> bool:
    return files_at(located(path, cache)).read(ROOT) is not None


def describe_images(cells: SplitCells) -> TrainingImages | None:
    """Describe the images of a train split, so that a predictor recognises images unlike them.

    They are those that have objects, by statistics of the encoder of the smallest model. Returns
    None and prints a note if they are fewer than ``LEAST_IMAGES``.

    Raises
    ------
    StoreError
        If a store is damaged.
    """
    store = cells.identity[cells.models[0]].store
    _, rows = np.unique(cells.table.image_index, return_index=True)
    if len(rows) < LEAST_IMAGES:
        print(
            f"note: {counted(len(rows), 'image')} to learn from, fewer than {LEAST_IMAGES}: "
            "the file cannot say which images are unlike them",
            file=sys.stderr,
        )
        return None
    return fit_training_images(_image_statistics(store)[rows])


def _image_statistics(store: Store) -> Float32[np.ndarray, "object statistic"]:
    return np.concatenate([read_array(store, name) for name in IMAGE_STATISTICS], axis=1)


def _image_axes(
    by_view: Sequence[Mapping[str, OpenCell]], table: ObjectTable, head_set: HeadSet
) -> ImageAxes | None:
    """Axes that tell the views apart; None for a kind of heads that reads no input ``image``.

    Heads that lack statistics do not know the view: their axes have no direction.
    """
    if "image" not in KINDS_BY_NAME[head_set.kind].inputs:
        return None
    _, rows = np.unique(table.image_index, return_index=True)
    rows = rows[:: -(-len(rows) // MOST_IMAGES)]
    statistics = [_image_statistics(cell.store)[rows] for of in by_view for cell in of.values()]
    n_models, knows_view = len(by_view[0]), head_set.ablation not in {NO_STATISTICS, TREES}
    view = np.repeat(np.arange(len(by_view)) * knows_view, n_models * len(rows))
    return fit_axes(np.concatenate(statistics), view)


def _read_inputs(
    by_view: Sequence[Mapping[str, OpenCell]],
    prompts: Sequence[str],
    n_objects: int,
    head_set: HeadSet,
    axes: ImageAxes | None,
) -> Float32[np.ndarray, "prompt model row input"]:
    """Inputs by view and prompt set, side by side on the first axis, then by model.

    Coordinates along ``axes`` replace the input ``image``, the last one.
    """
    cells = [(prompt, cell) for view in by_view for prompt in prompts for cell in view.values()]
    width = n_inputs(
        KINDS_BY_NAME[head_set.kind],
        cells[0][1].n_channels,
        has_object_score=cells[0][1].has_object_score,
    )
    if axes:
        width += axes.n_axes - axes.n_statistics
    n_rows = n_objects * (N_PROPOSALS if head_set.learns_every_proposal else 1)
    read_inputs = inputs_of_proposals if head_set.learns_every_proposal else set_inputs
    # Filled in place, because the inputs of a large split take gigabytes.
    shape = len(by_view) * len(prompts), len(by_view[0]), n_rows, width
    inputs = np.empty(shape, np.float32)
    for rows, (prompt, cell) in zip(inputs.reshape(-1, n_rows, width), cells, strict=True):
        start = 0
        for block in cell.blocks(prompt, INPUT_ARRAYS):
            block_inputs = read_inputs(block, head_set)
            if axes:
                block_inputs = axes.folded(block_inputs)
            rows[start : start + len(block_inputs)] = block_inputs
            start += len(block_inputs)
    return inputs


def group_index(table: ObjectTable) -> Int[np.ndarray, " object"]:
    """Number the groups of objects: the video of each object, or its image if there are no videos.

    Returns
    -------
    Numbers from 0; groups are numbered in the order of the rows.

    Notes
    -----
    The frames of a video are as alike as the objects of an image. Resampling and validation
    therefore draw groups, never rows.
    """
    images, index = np.unique(table.image_index, return_inverse=True)
    files = [str(table.file[image]) for image in images]
    names = [_video(file) for file in files] if table.signature["group"] == "video" else files
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], np.int64)[index]


def _video(file: str) -> str:
    """Path of the video file that a frame is part of, or of the folder that contains the frame."""
    return video_of(file) or str(PurePosixPath(file).parent)
