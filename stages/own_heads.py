"""Fits heads to a user's images and model by the functions of the stages, and judges the heads.

``prepare``, ``extract_train`` and ``train`` are done in the current folder, without settings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Float

from pipeline.choice_gains import N_RESAMPLES
from pipeline.heads.kinds import OURS, HeadSet
from pipeline.heads.objectives import fold_by_group
from pipeline.heads.predict import INPUT_ARRAYS, predict, set_inputs
from pipeline.proposals import Values
from pipeline.scoring import bootstrap, tasks
from pipeline.scoring.bootstrap import Resampled, resampled_areas
from pipeline.scoring.corrections import aucs_by_draw
from pipeline.scoring.evidence import Evidence, ModelScores
from pipeline.scoring.measures import BASELINE, BY_NAME, GALLERY_MEASURES
from pipeline.vocabulary import USED
from stages.executor.opened_cells import CellsToOpen, opened
from stages.filling.fill_cells import run_cell
from stages.prepare import read_records, write_records
from stages.settings.blocks import ExecutorParams, ExtractParams, PrepareParams, Split
from stages.settings.params import check_size
from stages.settings.signatures import train_cells, train_settings
from stages.split_predictions import stable_score
from stages.training.choices import held_out_evidence
from stages.training.data import group_index
from stages.training.fit import FittedHeads, fit_sets, heads_to_fit, weights_by_fold
from stages.training.trained import final_heads
from storage.head_files.head_file import HeadFile
from storage.paths import CACHE
from storage.split.split_cells import SplitCells

SEED: Final = 0
"""Seed of the clicks, of the training, of the held-out images and of the resamples."""

PREPARE: Final = PrepareParams(SEED, min_area_px=10)
"""How the objects of a user's images are prepared."""

PROMPTS: Final[Mapping[str, tuple[str, str]]] = {
    "click": ("center", "corrected"),
    "box": ("box", "box"),
}
"""Kind of the user's prompts -> the prompt set that judges the heads, and the one that is added to
those of every train split."""

RIVALS: Final = (BASELINE, "stable_score")
"""Measures without heads that the heads are compared with."""

CHOSEN: Final = "IoU of the chosen less the selected mask"

WORTH: Final = "worth of more images"
"""Label of the mean relative AUC of heads of all tasks, less that of heads of half the images."""

Figure = tuple[float, float, float]
"""A number in points (hundredths), and the ends of its 95 % interval over the images."""

Figures = Mapping[str, Figure]
"""Figures by label."""


def extract_own(
    split: str,
    location: Split,
    extract: ExtractParams,
    *,
    models: Sequence[str],
    extra_prompts: Sequence[str],
    prepare: PrepareParams = PREPARE,
) -> CellsToOpen:
    """Prepare the objects of a split, and extract what heads learn from: complete shards are kept.

    Raises the errors of the stages ``prepare`` and ``extract_train``; a DataError if fewer than two
    images have objects.
    """
    records = read_records(split, location, prepare)
    check_size(split, records.n_media, is_train=True, is_eval=False)
    write_records(split, records, location, prepare)
    for name in train_cells(split, models, extra_prompts):
        run_cell(name, location.images, extract, ExecutorParams())
    return CellsToOpen(split, train_settings(extract, split, models, extra_prompts), CACHE)


def fit_own(
    to_open: CellsToOpen, head_set: HeadSet, prompt: str
) -> tuple[HeadFile, Figures, Figures]:
    """Train heads of all images, and heads that each fifth of the images was held out from.

    Returns
    -------
    The heads of all images; what the others show on the images that were held out from them; and
    the same of heads that learned from half of their images.
    """
    cells, plan = opened(to_open), head_set.of_kind.plan
    assert plan is not None
    plans = dict.fromkeys(head_set.objectives(cells.models), plan)
    whole = heads_to_fit(head_set, plans, seed=SEED, judging_seed=SEED)
    halved = [replace(head, is_halved=True) for head in whole if not head.is_final]
    ((_, fitted),) = fit_sets(to_open, {head_set: [*whole, *halved]}, ExecutorParams())
    by_size = [{head: fitted[head] for head in heads} for heads in (whole, halved)]
    file = final_heads(cells, head_set, by_size[0], {}, SEED)
    shown = [_held_out(cells, head_set, heads, prompt) for heads in by_size]
    (figures, ranking), (of_half, ranking_of_half) = shown
    n_images = len(np.unique(cells.table.image_index))
    return file, figures | {WORTH: _figure(ranking - ranking_of_half, n_images)}, of_half


def _held_out(
    cells: SplitCells, head_set: HeadSet, fitted: FittedHeads, prompt: str
) -> tuple[dict[str, Figure], Resampled]:
    """Figures of heads on the images that were held out from them, and their mean relative AUC.

    The mean is of all tasks, by draw of the images.
    """
    ((model, cell),) = cells.identity.items()
    (judged, _), group = PROMPTS[prompt], group_index(cells.table)
    folds = weights_by_fold(fitted)
    blocks = [set_inputs(block, head_set) for block in cell.blocks(judged, INPUT_ARRAYS)]
    inputs, predicted = np.concatenate(blocks), dict[str, Values]()
    for fold, weights in folds.items():
        _, rows = fold_by_group(group, SEED, fold)
        for objective, values in predict(weights, inputs[rows]).items():
            predicted.setdefault(objective, np.empty(len(group)))[rows] = values
    proposals, stable = cell.proposals(judged), {USED: stable_score(cell, USED, judged)}
    scores = ModelScores(proposals, stable, {}, proposals, cells.models)
    evidence = Evidence(model, USED, scores, head_set, predicted)
    resamples = bootstrap.resample_groups(group, N_RESAMPLES, SEED)
    excess = evidence.heads.own - proposals.judged_iou(USED)
    mean = bootstrap.resampled_means(excess[:, np.newaxis], resamples)
    draws = {"expected less true IoU": mean[:, 0]}
    relative = _relative_aucs(evidence, resamples)
    for task, (of_heads, *of_rivals) in relative.items():
        for rival, of_rival in zip(RIVALS, of_rivals, strict=True):
            draws[f"{task}: relative AUC over {BY_NAME[rival].symbol}"] = of_heads - of_rival
    gains, _ = held_out_evidence(cells, head_set, folds, SEED)
    (chosen,) = (gain for gain in gains if gain.prompt == judged)
    figures = {label: _figure(values, resamples.n_groups) for label, values in draws.items()}
    figures[CHOSEN] = (100 * chosen.gain, 100 * chosen.low, 100 * chosen.high)
    return figures, np.mean([of_heads for of_heads, *_ in relative.values()], axis=0)


def _relative_aucs(
    evidence: Evidence, resamples: bootstrap.Resamples
) -> dict[str, Float[np.ndarray, "measure draw"]]:
    """By task, the relative AUC of the heads' measure, then that of each rival."""
    ious = tasks.ious_of({evidence.model: evidence.scores})
    relative = {}
    for task, _, correction in tasks.default_corrections(ious, USED):
        (of_heads,) = (name for name in GALLERY_MEASURES[task] if BY_NAME[name].heads == OURS)
        gain = correction.gain[:, np.newaxis]
        measures = (BY_NAME[name].compute(evidence) for name in (of_heads, *RIVALS))
        areas = np.stack([resampled_areas(gain, values, resamples)[:, 0] for values in measures])
        *_, relative[task] = aucs_by_draw(correction, areas, resamples)
    return relative


def _figure(draws: Resampled, n_groups: int) -> Figure:
    bounds = bootstrap.interval(draws, n_groups)
    return 100 * float(draws[0]), 100 * bounds.low, 100 * bounds.high
