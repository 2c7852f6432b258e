"""The choice of masks by heads: the IoUs that they expect, and their gain on held-out images."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from pipeline import mask_choices
from pipeline.heads.kinds import CUT_OBJECTIVES, HeadSet
from pipeline.heads.objectives import fold_by_group
from pipeline.heads.predict import INPUT_ARRAYS, HeadWeights, inputs_of_proposals, predict
from pipeline.heads.scope import ChoiceGain
from pipeline.vocabulary import N_PROPOSALS
from stages.training.data import group_index, learned_prompts
from storage.split.split_cells import OpenCell, SplitCells

Folds = Mapping[int, Mapping[str, HeadWeights]]
"""Weights of validated heads, by the number of the fold that they did not learn from, then by
objective."""

HeldOut = Mapping[int, Int[np.ndarray, " object"]]
"""Rows of the objects that each fold holds out."""


def expected_iou_at_cut(
    cell: OpenCell, head_set: HeadSet, weights: Mapping[str, HeadWeights], prompt: str
) -> Float[np.ndarray, "object proposal cut"]:
    """IoU that heads expect of each proposal of a prompt set, cut at each of ``CUTS``.

    Parameters
    ----------
    weights
        Weights of heads that choose masks, by objective; all of ``CUT_OBJECTIVES`` are needed.

    Raises
    ------
    StoreError
        If a store is damaged.
    """
    heads = {name: weights[name] for name in CUT_OBJECTIVES}
    blocks = [
        np.stack([*predict(heads, inputs_of_proposals(block, head_set)).values()], axis=1)
        for block in cell.blocks(prompt, INPUT_ARRAYS)
    ]
    return np.concatenate(blocks).reshape(-1, N_PROPOSALS, len(heads))


def expected_on_held_out(
    cell: OpenCell, head_set: HeadSet, folds: Folds, held_out: HeldOut, prompt: str
) -> Float[np.ndarray, "object proposal cut"]:
    """IoU at each cut that heads expect of masks of images that they did not learn from.

    The rows are those of ``held_out``, fold by fold.
    """
    return np.concatenate(
        [
            expected_iou_at_cut(cell, head_set, weights, prompt)[held_out[fold]]
            for fold, weights in folds.items()
        ]
    )


def choice_gains(
    cells: SplitCells, head_set: HeadSet, folds: Folds, judging_seed: int
) -> list[ChoiceGain]:
    """Calibrate and measure the IoU that the choice of masks gains on held-out images.

    The list has a gain for each prompt set that the heads learned from, and each model.

    Parameters
    ----------
    folds
        Weights of the validated heads by the number of their fold, whose images they did not learn
        from.
    judging_seed
        Seed that chose these images.

    Raises
    ------
    StoreError
        If a store is damaged.
    """
    group = group_index(cells.table)
    held_out = {fold: fold_by_group(group, judging_seed, fold)[1] for fold in folds}
    rows = np.concatenate([*held_out.values()])
    return [
        gain
        for prompt in learned_prompts(cells, head_set)
        for gain in mask_choices.choice_gains(
            prompt,
            {
                model: (
                    expected_on_held_out(cell, head_set, folds, held_out, prompt),
                    cell.iou_at_cut(prompt)[rows],
                    cell.proposals(prompt).sam_score[rows],
                )
                for model, cell in cells.identity.items()
            },
            group[rows],
        )
    ]
