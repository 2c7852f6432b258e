"""The choice of masks by heads: the IoUs that they expect, and their gain on held-out images."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from pipeline import mask_choices
from pipeline.heads.kinds import CUT_OBJECTIVES, HeadSet
from pipeline.heads.objectives import split_by_group
from pipeline.heads.predict import INPUT_ARRAYS, HeadWeights, inputs_of_proposals, predict
from pipeline.heads.scope import ChoiceGain
from pipeline.vocabulary import N_PROPOSALS
from stages.training.data import group_index, learned_prompts
from storage.split.split_cells import OpenCell, SplitCells


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


def choice_gains(
    cells: SplitCells, head_set: HeadSet, weights: Mapping[str, HeadWeights], judging_seed: int
) -> list[ChoiceGain]:
    """Calibrate and measure the IoU that the choice of masks gains on held-out images.

    The list has a gain for each prompt set that the heads learned from, and each model.

    Parameters
    ----------
    weights
        Weights of the validated heads, which did not learn from the images held out.
    judging_seed
        Seed that chose the images held out.

    Raises
    ------
    StoreError
        If a store is damaged.
    """
    group = group_index(cells.table)
    _, held_out = split_by_group(group, judging_seed)
    return [
        gain
        for prompt in learned_prompts(cells, head_set)
        for gain in mask_choices.choice_gains(
            prompt,
            {
                model: (
                    expected_iou_at_cut(cell, head_set, weights, prompt)[held_out],
                    cell.iou_at_cut(prompt)[held_out],
                    cell.proposals(prompt).sam_score[held_out],
                )
                for model, cell in cells.identity.items()
            },
            group[held_out],
        )
    ]
