"""Calibrates mask sets on the features of an eval split, as ``usam gate --promise set`` asks."""

from math import isinf
from typing import Final

from pipeline import mask_sets
from pipeline.heads.kinds import HEAD_KINDS, HeadSet
from pipeline.mask_sets import Coverage, Predicted
from pipeline.risk_control import NOTHING, Judged, Promise
from pipeline.scoring.measures import BY_NAME
from pipeline.scoring.statistics import shown_model
from pipeline.vocabulary import N_PROPOSALS
from stages.evaluation import expected_ious
from stages.page.labels import model_label
from stages.predictor.gates import SET, Gate
from stages.settings.params import Params, cache_location
from stages.settings.parsing import check_known
from stages.settings.signatures import eval_cells, settings_of_cells, train_cells
from stages.training.data import group_index, learned_from
from storage.errors import DataError
from storage.head_files.head_file import read_heads
from storage.split.cells import SplitCells, open_cells

MEASURES: Final = ("sam_score", *(kind.named("usam") for kind in HEAD_KINDS))
"""Measures that are 1 - an IoU which is predicted of every proposal."""


def calibrate_sets(
    params: Params, split: str, promise: Promise, protocol: str, model: str | None, measure: str
) -> tuple[Gate, Coverage]:
    """Calibrate sets of a model's proposals from one click on all images of a split.

    Parameters
    ----------
    protocol
        That of the heads.

    Returns
    -------
    The gate, and what came of such calibrations on halves of these images.

    Raises
    ------
    ParamsError
        If a name is unknown.
    StoreError, DataError
        If features or heads cannot be read or do not belong together.
    DataError
        If the target is out of reach: no proposal is good often enough, or images are too few.
    """
    check_known("measure", measure, MEASURES)
    model = model or shown_model(params.models)
    check_known("model", model, params.models)
    names = eval_cells(split, (model,), [params.view("identity")], params.extra_prompts)
    cells = open_cells(split, settings_of_cells(params.extract, names), cache=cache_location())
    train_split = params.train_splits[0] if BY_NAME[measure].needs_heads else ""
    predicted = _predicted(params, cells, protocol, measure, train_split)
    is_good = cells.identity[model].proposals().iou >= promise.iou
    judged = mask_sets.judged_sets(predicted, is_good, group_index(cells.table))
    threshold = mask_sets.set_threshold(judged, promise.alpha)
    if threshold == NOTHING:
        raise DataError(_nothing(judged, promise, model, split))
    made = Gate(
        split=split,
        protocol=protocol,
        model=model,
        measure=measure,
        train_split=train_split,
        promise=SET,
        iou_at_least=promise.iou,
        alpha=promise.alpha,
        confidence=None,
        threshold=threshold,
        kept=float((mask_sets.doubt(predicted) >= threshold).mean()),
        n_objects=len(judged.group),
        n_groups=len(judged.images()),
    )
    return made, mask_sets.coverage(judged, promise.alpha)


def _predicted(
    params: Params, cells: SplitCells, protocol: str, measure: str, train_split: str
) -> Predicted:
    """What SamScores or the heads of a train split predict of each proposal."""
    (cell,) = cells.identity.values()
    if not train_split:
        return cell.proposals().sam_score
    settings = settings_of_cells(
        params.extract, train_cells(train_split, params.models, params.train_prompts)
    )
    learned = learned_from(train_split, settings, cache_location())
    head_set = HeadSet(protocol, protocol, BY_NAME[measure].heads)
    return expected_ious(
        cell, head_set, read_heads(train_split, {**cells.head_origin, **learned}, head_set)
    )


def _nothing(judged: Judged, promise: Promise, model: str, split: str) -> str:
    without, images = mask_sets.out_of_reach(judged), f"{len(judged.images())} images of {split}"
    least = mask_sets.least_images(promise.alpha, without)
    remedy = "" if isinf(least) else f", or take {least:.0f} images"
    return (
        f"sets of the {N_PROPOSALS} proposals must hold one with an IoU of at least "
        f"{promise.iou:g} for {1 - promise.alpha:.0%} of the objects, got {without:.0%} of the "
        f"objects in {images} without any such proposal of the {model_label(model)} model: ask for "
        f"a larger alpha or a lower iou, or take a better model{remedy}"
    )
