"""The errors of the expected IoU of selected masks, on held-out images."""

import numpy as np

from pipeline.heads.kinds import HeadSet
from pipeline.heads.objectives import fold_by_group
from pipeline.iou_errors import IouErrors, measure_errors
from pipeline.mask_choices import selected_masks
from pipeline.vocabulary import USED
from stages.training.choices import Folds, expected_on_held_out
from stages.training.data import group_index, learned_prompts
from storage.split.split_cells import SplitCells


def iou_errors(
    cells: SplitCells,
    head_set: HeadSet,
    folds: Folds,
    judging_seed: int,
) -> list[IouErrors]:
    """Measure the errors of the IoU that heads expect of selected masks, on held-out images.

    The list has the errors for each model and each prompt set that the heads learned from.

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
    errors = []
    for prompt in learned_prompts(cells, head_set):
        for model, cell in cells.identity.items():
            scores = cell.proposals(prompt)
            expected = expected_on_held_out(cell, head_set, folds, held_out, prompt)
            of_selected = selected_masks(scores.sam_score[rows]).of(expected)
            iou = scores.judged_iou(USED)[rows]
            errors.append(measure_errors(model, prompt, of_selected, iou, group[rows]))
    return errors
