"""``usam gate``: the uncertainty up to which masks may be kept for a promise to hold.

Thresholds of masks are calibrated on results, those of sets on features.
"""

from dataclasses import dataclass
from math import ceil, isinf
from typing import Annotated, Final

import typer

from pipeline import mask_sets, risk_control
from pipeline.heads.kinds import HEAD_KINDS, HeadSet
from pipeline.heads.scope import OF_SETS, CalibratedGuarantee, Scope
from pipeline.mask_sets import Coverage, Predicted
from pipeline.proposals import Values
from pipeline.risk_control import NOTHING, CalibrationSet, Guarantee
from pipeline.scoring.measures import BY_NAME
from pipeline.scoring.tasks import shown_model
from pipeline.vocabulary import N_PROPOSALS, PROTOCOLS
from stages.page.labels import MASK_LABELS, measure_label, model_label
from stages.predictor.card_entries import guarantee_words
from stages.program.main import reported_errors
from stages.settings.params import Params, cache_location, read_params
from stages.settings.parsing import ParamsError, check_known
from stages.settings.signatures import eval_cells, settings_of_cells, train_cells
from stages.split_predictions import expected_ious
from stages.training.data import group_index, learned_from
from storage.errors import DataError
from storage.head_files.guarantees import write_guarantees
from storage.head_files.head_file import read_heads
from storage.outputs.csv_forms import SPLIT_TABLES
from storage.outputs.results import read_results, read_run
from storage.paths import gate_path, results_dir
from storage.split.split_cells import SplitCells, open_cells

IN_USE: Final = "usam_ours"
"""Measure of the heads that a predictor takes by default."""

SUREST: Final = 0.1
"""Share of the least uncertain masks that shows whether an alpha is attainable."""

OF_PROPOSALS: Final = ("sam_score", *(kind.named("usam") for kind in HEAD_KINDS))
"""Measures that are 1 - an IoU which is predicted of every proposal."""


@dataclass(frozen=True)
class Gated:
    """Masks of an eval split, and the measure that a threshold is for."""

    split: str
    protocol: str
    """Which of the model's masks; of sets, what the heads have learned."""
    model: str
    measure: str


def gate(
    iou: Annotated[float, typer.Option(help="A mask falls short below this IoU.")],
    alpha: Annotated[float, typer.Option(help="Share that may fall short.")],
    promise: Annotated[
        str,
        typer.Option(
            help="Share of what: of kept masks, of all masks, or of sets without a good mask (set)."
        ),
    ] = "kept",
    split: Annotated[str | None, typer.Option(help="Eval split; by default the first.")] = None,
    model: Annotated[str | None, typer.Option(help="By default the largest.")] = None,
    measure: Annotated[str, typer.Option(help="Name of the measure, as in scores.csv.")] = IN_USE,
    protocol: Annotated[str, typer.Option(help="Which masks: selected or best.")] = "selected",
) -> None:
    """Find which masks to keep so that a promise about them holds."""
    with reported_errors():
        params = read_params()
        wanted = Guarantee(promise, iou, alpha)
        model = model or shown_model(params.models)
        masks = Gated(split or params.eval_splits[0], protocol, model, measure)
        _check(params, masks, wanted)
        if promise == OF_SETS:
            made, covered = calibrate_sets(params, masks, wanted)
            lines, end = _set_lines(made, covered), f"-{OF_SETS}"
        else:
            made = calibrate_masks(masks, wanted)
            lines, end = _lines(made), ""
        path = gate_path(made.split, f"{protocol}-{made.model}-{measure}{end}")
        write_guarantees(path, [made])
    print(*lines, f"Written to {path}", sep="\n")


def _check(params: Params, masks: Gated, wanted: Guarantee) -> None:
    for name, share in (("iou", wanted.iou), ("alpha", wanted.alpha)):
        if not 0 < share < 1:
            raise ParamsError(f"{name} must lie between 0 and 1, got {share}")
    check_known("promise", wanted.of, (*risk_control.GUARANTEES, OF_SETS))
    check_known("measure", masks.measure, tuple(BY_NAME))
    check_known("protocol", masks.protocol, PROTOCOLS)
    check_known("eval split", masks.split, params.eval_splits)
    check_known("model", masks.model, params.models)


def _lines(made: CalibratedGuarantee) -> list[str]:
    symbol, limit = measure_label(made.measure), made.threshold
    predicted = BY_NAME[made.measure].predicted_iou
    same = f", that is {predicted} ≥ {1 - limit:.4g}" if predicted else ""
    masks = f"{MASK_LABELS[made.scope.protocol]} of the {model_label(made.model)} model"
    calibrated = f"{made.n_objects} {masks} in {made.scope.n_images} images of {made.split}"
    return [
        f"Keep a mask if {symbol} ≤ {limit:.4g}{same}.",
        f"This keeps {made.kept:.1%} of the {calibrated}.",
        f"Promise for images like these: {guarantee_words(made)}.",
    ]


def _set_lines(made: CalibratedGuarantee, covered: Coverage) -> list[str]:
    predicted = BY_NAME[made.measure].predicted_iou
    calibrated = f"{made.n_objects} objects in {made.scope.n_images} images of {made.split}"
    size = f"{made.kept * N_PROPOSALS:.2f} of the {N_PROPOSALS} proposals"
    checked = (
        f"{covered.share:.1%} of the sets on the others have one, and {covered.least:.1%} is the "
        "least that chance leaves"
    )
    doubt = f"the product of 1 − {predicted} of those ahead"
    return [
        f"Take proposals by {predicted}, highest first, while {doubt} is ≥ {made.threshold:.4g}.",
        f"Sets have {size} of the {model_label(made.model)} model on average: {calibrated}.",
        f"Promise for images like these: {guarantee_words(made)}.",
        f"Calibrated on {mask_sets.N_CALIBRATIONS} halves of these images, {checked}.",
    ]


def calibrate_masks(masks: Gated, promise: Guarantee) -> CalibratedGuarantee:
    """Calibrate the uncertainty up to which masks are kept, on all images of a split.

    Raises
    ------
    DataError
        If there are no results, or they lack the measure; or if no threshold holds the promise.
    """
    folder, measure = results_dir(masks.split), BY_NAME[masks.measure]
    heads = next(iter(read_run(folder)["heads"]), "") if measure.needs_heads else ""
    column = f"{measure.name}@{heads}" if heads else measure.name
    rows = read_results(folder, of_objects={*SPLIT_TABLES["objects"].columns, column}).objects
    is_wanted = (rows["protocol"] == masks.protocol) & (rows["judged"] == masks.protocol)
    rows = rows[is_wanted & (rows["model"] == masks.model)]
    if column not in rows or rows[column].isna().all():
        raise DataError(f"results of the split must have {column}, got none of these masks")
    value: Values = rows[column].to_numpy()
    judged = CalibrationSet.of(
        1 - value if measure.predicted_iou else value,
        (rows["iou"] < promise.iou).to_numpy(),
        rows["group"].to_numpy(),
    )
    threshold = risk_control.threshold(judged, promise)
    if threshold == NOTHING:
        raise DataError(_no_threshold(judged, promise, masks))
    return _gate(masks, promise, heads, judged, threshold, judged.uncertainty <= threshold)


def calibrate_sets(
    params: Params, masks: Gated, promise: Guarantee
) -> tuple[CalibratedGuarantee, Coverage]:
    """Calibrate sets of a model's proposals from one click on all images of a split.

    Returns
    -------
    The gate, and what came of such calibrations on halves of these images.

    Raises
    ------
    ParamsError
        If the measure is not of every proposal.
    StoreError, DataError
        If features or heads cannot be read or do not belong together.
    DataError
        If the target is out of reach: no proposal is good often enough, or images are too few.
    """
    check_known("measure", masks.measure, OF_PROPOSALS)
    views = [params.view("identity")]
    names = eval_cells(masks.split, (masks.model,), views, params.extra_prompts)
    settings = settings_of_cells(params.extract, names)
    cells = open_cells(masks.split, settings, cache=cache_location())
    heads = params.train_splits[0] if BY_NAME[masks.measure].needs_heads else ""
    predicted = _predicted(params, cells, masks, heads)
    is_good = cells.identity[masks.model].proposals().iou >= promise.iou
    judged = mask_sets.judged_sets(predicted, is_good, group_index(cells.table))
    threshold = mask_sets.set_threshold(judged, promise.alpha)
    if threshold == NOTHING:
        raise DataError(_out_of_reach(judged, promise, masks))
    is_in_set = mask_sets.failure_ahead(predicted) >= threshold
    made = _gate(masks, promise, heads, judged, threshold, is_in_set)
    return made, mask_sets.coverage(judged, promise.alpha)


def _gate(
    masks: Gated,
    promise: Guarantee,
    train_split: str,
    judged: CalibrationSet,
    threshold: float,
    is_kept: Values,
) -> CalibratedGuarantee:
    return CalibratedGuarantee(
        Scope(masks.protocol, ("center",), n_images=len(judged.images())),
        split=masks.split,
        model=masks.model,
        measure=masks.measure,
        train_split=train_split,
        of=promise.of,
        iou_at_least=promise.iou,
        alpha=promise.alpha,
        confidence=risk_control.CONFIDENCE if promise.of == "kept" else None,
        threshold=threshold,
        kept=float(is_kept.mean()),
        n_objects=len(judged.group),
    )


def _predicted(params: Params, cells: SplitCells, masks: Gated, train_split: str) -> Predicted:
    """What SamScores or the heads of a train split predict of each proposal."""
    (cell,) = cells.identity.values()
    if not train_split:
        return cell.proposals().sam_score
    settings = settings_of_cells(
        params.extract, train_cells(train_split, params.models, params.train_prompts)
    )
    learned = learned_from(train_split, settings, cache_location())
    reads = cells.reads_of(masks.model)
    head_set = HeadSet(masks.protocol, masks.protocol, BY_NAME[masks.measure].heads, reads)
    return expected_ious(
        cell, head_set, read_heads(train_split, {**cells.head_origin, **learned}, head_set)
    )


def _no_threshold(judged: CalibrationSet, promise: Guarantee, masks: Gated) -> str:
    surest = judged.falls_short[: ceil(SUREST * len(judged.falls_short))]
    other = ", or --promise all" if promise.of == "kept" else ""
    return (
        f"{measure_label(masks.measure)} must have a threshold that the {len(judged.images())} "
        f"images of {masks.split} show to hold this promise, got none: {surest.mean():.0%} of the "
        f"least uncertain tenth of the masks fall short, {judged.falls_short.mean():.0%} of all, "
        f"and even masks that never do take {risk_control.least_images(promise)} images; ask for a "
        f"larger alpha or a lower iou, or take more images{other}"
    )


def _out_of_reach(judged: CalibrationSet, promise: Guarantee, masks: Gated) -> str:
    without = mask_sets.out_of_reach(judged)
    least = mask_sets.least_images(promise.alpha, without)
    remedy = "" if isinf(least) else f", or take {least:.0f} images"
    return (
        f"sets of the {N_PROPOSALS} proposals must hold one with an IoU of at least "
        f"{promise.iou:g} for {1 - promise.alpha:.0%} of the objects, got {without:.0%} of the "
        f"objects in {len(judged.images())} images of {masks.split} without any such proposal of "
        f"the {model_label(masks.model)} model: ask for a larger alpha or a lower iou, or take a "
        f"better model{remedy}"
    )
