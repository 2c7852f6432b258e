"""Training data of the heads: targets from the features of all models, and samples of rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float32, Int

from pipeline.heads.image_axes import ImageAxes
from pipeline.heads.kinds import CUT_OBJECTIVES, HeadSet
from pipeline.proposals import ProposalScores
from pipeline.vocabulary import MODEL_GAP, N_PROPOSALS, objectives_of

VALIDATION_SHARE: Final = 0.2
"""Share of the images that is held out for validation."""

N_FOLDS: Final = round(1 / VALIDATION_SHARE)
"""Number of validated heads by which every image is held out once."""


@dataclass(frozen=True)
class TrainingSet:
    """Inputs and targets that heads learn from, with a row for each prompt set, model and object.

    Rows are in this order: by prompt set, then by model, then by object. Heads that learn from
    every proposal have a row for each proposal of an object.

    Attributes
    ----------
    inputs
        Results of ``set_inputs``.
    targets
        Values in [0, 1] by objective.
    group
        Number of the image, or of the video, of each row.
    axes
        Axes whose coordinates are the last inputs; None if heads read nothing of the image.
    """

    inputs: Float32[np.ndarray, "row input"]
    targets: Mapping[str, Float32[np.ndarray, " row"]]
    group: Int[np.ndarray, " row"]
    axes: ImageAxes | None = None


def targets(
    features: Mapping[str, ProposalScores], head_set: HeadSet
) -> dict[str, Float32[np.ndarray, " row"]]:
    """Target in [0, 1] of each objective of a head set, for every object of every model.

    Parameters
    ----------
    features
        Features of all models, from small to large, for the same objects.
    head_set
        Tells the protocol of the judged masks, and whether every proposal is judged.

    Returns
    -------
    Targets by objective: those of ``objectives_of`` and, where every proposal is judged, those of
    ``CUT_OBJECTIVES``. All objects of the first model come first, then those of the next model.
    Where every proposal is judged, an object has three consecutive rows.

    Notes
    -----
    Sec. 3.3. ``iou_<model>`` is the IoU of that model's judged mask, and ``model_gap`` compares two
    of these IoUs; other targets belong to the model of the row. In the row of a proposal, this
    proposal is the judged mask of the row's model. A gap in [-1, 1] is learned as
    ``clip(0.5 + gap, 0, 1)``, so that the sigmoid can reach it; a gap of 0 is learned as 0.5.
    """
    by_model = [_model_targets(features, head_set, model) for model in features]
    return {name: np.concatenate([columns[name] for columns in by_model]) for name in by_model[0]}


def training_set(
    inputs: Float32[np.ndarray, "prompt model row input"],
    features: Sequence[Mapping[str, ProposalScores]],
    group_index: Int[np.ndarray, " grouped"],
    *,
    head_set: HeadSet,
    axes: ImageAxes | None = None,
) -> TrainingSet:
    """Assemble the training set of the heads of a head set.

    Parameters
    ----------
    inputs
        Results of ``set_inputs`` (or of ``inputs_of_proposals`` where every proposal is judged),
        with models in the order of ``features``. The training set is a view of this array, because
        no other array takes as much memory.
    features
        For each prompt set, the argument ``features`` of ``targets``.
    group_index
        Number of the image, or of the video, of each object.
    axes
        Axes whose coordinates are the last inputs, if any.
    """
    by_prompt = [targets(scores, head_set) for scores in features]
    group = np.repeat(group_index, inputs.shape[2] // len(group_index))
    return TrainingSet(
        inputs.reshape(-1, inputs.shape[-1]),
        {name: np.concatenate([columns[name] for columns in by_prompt]) for name in by_prompt[0]},
        np.tile(group, inputs.shape[0] * inputs.shape[1]),
        axes,
    )


def sample_by_group(
    group: Int[np.ndarray, " row"], max_rows: int, seed: int
) -> Int[np.ndarray, " sampled"]:
    """Draw images (or videos) one at a time, as long as they have at most ``max_rows`` rows.

    Returns
    -------
    Numbers of the rows of the drawn images, ascending; none if the first image has too many rows.
    """
    names, n_rows = np.unique(group, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    drawn = order[np.cumsum(n_rows[order]) <= max_rows]
    return np.flatnonzero(np.isin(group, names[drawn]))


def split_by_group(
    group: Int[np.ndarray, " row"], seed: int
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " validation"]]:
    """Split rows 80/20 at random so that no image (or video) has rows on both sides.

    Returns
    -------
    Row numbers for training and for validation, ascending.

    Raises
    ------
    ValueError
        If there are fewer than two images or videos.

    Notes
    -----
    The authors' code splits by row, which puts objects of one image on both sides. Frames of one
    video are as similar as objects of one image.
    """
    # Imported here: the import takes a second, and stages that only predict do not need it.
    from sklearn.model_selection import GroupShuffleSplit  # noqa: PLC0415

    n_groups = len(np.unique(group))
    if n_groups < 2:  # noqa: PLR2004 - one each
        raise ValueError(f"a training split must have at least 2 images or videos, got {n_groups}")
    splitter = GroupShuffleSplit(n_splits=1, test_size=VALIDATION_SHARE, random_state=seed)
    train, validation = next(splitter.split(group, groups=group))
    return np.sort(train), np.sort(validation)


def fold_by_group(
    group: Int[np.ndarray, " row"], seed: int, fold: int
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " validation"]]:
    """Rows for training and for validation in a fold, both ascending.

    The folds from 0 to ``N_FOLDS`` - 1 hold each image (or video) out once. Fold 0 is that of
    ``split_by_group``.
    """
    train, validation = split_by_group(group, seed)
    if fold:
        names = np.random.default_rng(seed).permutation(np.unique(group[train]))
        held_out = np.isin(group, np.array_split(names, N_FOLDS - 1)[fold - 1])
        train, validation = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    return train, validation


def half_by_group(group: Int[np.ndarray, " row"], seed: int) -> Int[np.ndarray, " half"]:
    """Rows, ascending, of half of the images (or videos), drawn at random: of one at least.

    >>> half_by_group(np.array([3, 3, 5, 5, 8, 9]), 0).tolist()
    [0, 1, 4]
    """
    names = np.random.default_rng(seed).permutation(np.unique(group))
    return np.flatnonzero(np.isin(group, names[: max(1, len(names) // 2)]))


def sample_for_trials(
    group: Int[np.ndarray, " row"], max_objects: int, n_models: int, seed: int
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " validation"]]:
    """Draw rows of at most ``max_objects`` objects from both sides of ``split_by_group``.

    A fifth of the objects is for validation.

    Parameters
    ----------
    group
        Number of the image, or of the video, of each row.
    n_models
        Number of rows of each object.

    Returns
    -------
    Row numbers for training and for validation, both ascending.

    Raises
    ------
    ValueError
        If the limit of a side is below the number of objects of the image that is drawn first, or
        there are fewer than two images or videos.
    """
    n_judging = round(VALIDATION_SHARE * max_objects)
    most = {"learn from": max_objects - n_judging, "be judged on": n_judging}
    samples = []
    for rows, (purpose, n_objects) in zip(split_by_group(group, seed), most.items(), strict=True):
        sample = rows[sample_by_group(group[rows], n_objects * n_models, seed)]
        if not len(sample):
            raise ValueError(
                f"tune.max_objects must hold an image or video to {purpose}, got {max_objects}, "
                f"{n_objects} of them for that"
            )
        samples.append(sample)
    train, validation = samples
    return train, validation


def _model_targets(
    features: Mapping[str, ProposalScores], head_set: HeadSet, row_model: str
) -> dict[str, Float32[np.ndarray, " row"]]:
    """Targets of a head set in the rows of the model ``row_model``, in [0, 1], by objective."""
    scores, protocol = features[row_model], head_set.protocol
    every = head_set.learns_every_proposal
    n_rows = N_PROPOSALS if every else 1
    judged_iou = {
        model: np.repeat(of_model.judged_iou(protocol), n_rows)
        for model, of_model in features.items()
    }
    if every:
        judged_iou[row_model] = scores.iou.ravel()
    own = judged_iou[row_model]
    refined = np.repeat(scores.judged_refined_iou(protocol), n_rows)
    best, selected = (
        own if every and judged == "selected" else np.repeat(scores.judged_iou(judged), n_rows)
        for judged in ("best", "selected")
    )
    by_size = list(judged_iou.values())
    columns = {
        **{f"iou_{model}": iou for model, iou in judged_iou.items()},
        "iou_refined": refined,
        "iou_selected": selected,
        "iou_best": best,
        MODEL_GAP: _as_target(by_size[-1] - by_size[0]),
        "prompt_gap": _as_target(refined - own),
        "task_gap": _as_target(best - selected),
    }
    named = {name: columns[name] for name in objectives_of(list(features))}
    if every:
        of_cuts = np.ascontiguousarray(scores.cuts.reshape(-1, len(CUT_OBJECTIVES)).T)
        named |= dict(zip(CUT_OBJECTIVES, of_cuts, strict=True))
    return named


def _as_target(gap: Float32[np.ndarray, " object"]) -> Float32[np.ndarray, " object"]:
    target: Float32[np.ndarray, " object"] = np.clip(np.float32(0.5) + gap, 0, 1)
    return target
