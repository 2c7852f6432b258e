"""The errors of the expected IoU of selected masks, on held-out images."""

from collections.abc import Mapping

from pipeline.heads.kinds import HeadSet
from pipeline.heads.objectives import split_by_group
from pipeline.heads.predict import HeadWeights
from pipeline.iou_errors import IouErrors, measure_errors
from pipeline.mask_choices import HALF
from pipeline.vocabulary import USED
from stages.training.choices import expected_iou_at_cut
from stages.training.data import group_index, learned_prompts
from storage.split.split_cells import SplitCells


def iou_errors(
    cells: SplitCells, head_set: HeadSet, weights: Mapping[str, HeadWeights], judging_seed: int
) -> list[IouErrors]:
    """Measure the errors of the IoU that heads expect of selected masks, on held-out images.

    The list has the errors for each model and each prompt set that the heads learned from.
    Parameters and errors are those of ``choice_gains``.
    """
    group = group_index(cells.table)
    _, held_out = split_by_group(group, judging_seed)
    errors = []
    for prompt in learned_prompts(cells, head_set):
        for model, cell in cells.identity.items():
            scores = cell.proposals(prompt)
            expected = expected_iou_at_cut(cell, head_set, weights, prompt)[..., HALF]
            expected_iou, iou = (
                values[held_out]
                for values in (scores.of_judged(expected, USED), scores.judged_iou(USED))
            )
            errors.append(measure_errors(model, prompt, expected_iou, iou, group[held_out]))
    return errors
