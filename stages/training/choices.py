"""IoUs that heads expect, and what these and the choice of masks are worth on held-out images."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from pipeline.choice_gains import choice_gains
from pipeline.heads.kinds import CUT_OBJECTIVES, HeadSet
from pipeline.heads.objectives import fold_by_group
from pipeline.heads.predict import INPUT_ARRAYS, HeadWeights, inputs_of_proposals, predict
from pipeline.heads.scope import ChoiceGain
from pipeline.iou_errors import IouErrors, measure_errors
from pipeline.mask_choices import selected_masks
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


def held_out_evidence(
    cells: SplitCells,
    head_set: HeadSet,
    folds: Mapping[int, Mapping[str, HeadWeights]],
    judging_seed: int,
) -> tuple[list[ChoiceGain], list[IouErrors]]:
    """Measure what heads that choose masks are worth on images that they did not learn from.

    Parameters
    ----------
    folds
        Weights of the validated heads by the number of their fold, whose images they did not learn
        from.
    judging_seed
        Seed that chose these images.

    Returns
    -------
    The calibrated gains of the choice of masks, and the errors of the IoU that is expected of
    selected masks: for each prompt set that the heads learned from, one for each model.

    Raises
    ------
    StoreError
        If a store is damaged.
    """
    group = group_index(cells.table)
    held_out = {fold: fold_by_group(group, judging_seed, fold)[1] for fold in folds}
    rows = np.concatenate([*held_out.values()])
    gains, errors = [], []
    for prompt in learned_prompts(cells, head_set):
        of_models = {}
        for model, cell in cells.identity.items():
            expected = [
                expected_iou_at_cut(cell, head_set, weights, prompt)[held_out[fold]]
                for fold, weights in folds.items()
            ]
            sam_score = cell.proposals(prompt).sam_score[rows]
            masks = np.concatenate(expected), cell.iou_at_cut(prompt)[rows], sam_score
            of_models[model] = masks
            expected_iou, iou = (selected_masks(sam_score).of(ious) for ious in masks[:2])
            errors.append(measure_errors(model, prompt, expected_iou, iou, group[rows]))
        gains += choice_gains(prompt, of_models, group[rows])
    return gains, errors
