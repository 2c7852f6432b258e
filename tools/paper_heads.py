"""The paper's Tables 1 to 4 by the heads that UncertainSAM's authors publish, on one eval split."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pipeline.heads.predict import INPUT_ARRAYS, predict, set_inputs
from pipeline.proposals import Values
from pipeline.scoring import tasks
from pipeline.scoring.auc import correction_auc
from pipeline.scoring.evidence import Evidence, ModelScores
from pipeline.vocabulary import JUDGED
from stages.predictor.published import HEAD_SET
from stages.settings.params import Params
from stages.settings.signatures import eval_settings
from storage.head_files.head_file import HeadFile
from storage.split.split_cells import OpenCell, open_cells


def relative_aucs(heads: HeadFile, split: str, params: Params) -> dict[tuple[str, str], float]:
    """Relative AUC in %, by task and measure, of protocol ``best`` and each task's default model.

    Parameters
    ----------
    heads
        Result of ``read_published``.

    Notes
    -----
    In the task ``task``, measures read the tokens of the selected mask, also for these heads, which
    learned from the tokens of the best mask. ``delta_a_star_known`` reads those of the best mask,
    as the authors' code does.
    """
    identity = [params.view("identity")]
    settings = eval_settings(params.extract, split, params.models, identity, params.extra_prompts)
    cells = open_cells(split, settings).identity
    proposals = {model: cell.proposals() for model, cell in cells.items()}
    largest = proposals[tasks.shown_model(params.models)]
    ious = {model: scores.by_proposal() for model, scores in proposals.items()}
    relative: dict[tuple[str, str], float] = {}
    for task, model, correction in tasks.default_corrections(ious, HEAD_SET.protocol):
        judged = tasks.judged_proposal(HEAD_SET.protocol, task)
        predictions = _predictions(cells[model], heads)
        scores = ModelScores(
            proposals[model], {name: {} for name in JUDGED}, {}, largest, params.models
        )
        from_best_tokens = predictions["best"] if judged == "selected" else None
        evidence = Evidence(model, judged, scores, HEAD_SET, predictions[judged], from_best_tokens)
        for measure, uncertainty in tasks.measures_of(evidence).items():
            area = correction_auc(correction.iou, correction.corrected_iou, uncertainty)
            relative[task, measure] = 100 * area.relative
    return relative


def _predictions(cell: OpenCell, heads: HeadFile) -> dict[str, Mapping[str, Values]]:
    """Predictions for every object, by the proposal whose tokens are read, then by objective."""
    of_blocks: dict[str, list[dict[str, Values]]] = {judged: [] for judged in JUDGED}
    for block in cell.blocks("center", INPUT_ARRAYS):
        # The published heads pair proposal k with mask token k, the cache with k + 1.
        block["mask_token"] = np.roll(block["mask_token"], 1, axis=1)
        for judged, predicted in of_blocks.items():
            inputs = set_inputs(block, replace(HEAD_SET, tokens=judged))
            predicted.append(predict(heads.weights, inputs))
    return {
        judged: {name: np.concatenate([of[name] for of in predicted]) for name in heads.weights}
        for judged, predicted in of_blocks.items()
    }
