"""``usam gate``: the uncertainty up to which masks may be kept for a promise to hold."""

from dataclasses import asdict
from typing import Annotated, Final

import typer

from pipeline import risk_control
from pipeline.mask_sets import N_CALIBRATIONS, Coverage
from pipeline.scoring.measures import BY_NAME
from pipeline.scoring.statistics import shown_model
from pipeline.vocabulary import N_PROPOSALS, PROTOCOLS
from stages.gate_calibration import Gated, calibrate_masks, calibrate_sets
from stages.page.labels import MASK_LABELS, measure_label, model_label
from stages.predictor.gates import SET, Gate, promise_words
from stages.program.main import reported_errors
from stages.settings.params import Params, read_params
from stages.settings.parsing import ParamsError, check_known
from storage.folders import write_json
from storage.paths import gate_path

IN_USE: Final = "usam_ours"
"""Measure of the heads that a predictor takes by default."""


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
    measure: Annotated[str, typer.Option(help="Name of the measure, as in auc.csv.")] = IN_USE,
    protocol: Annotated[str, typer.Option(help="Which masks: selected or best.")] = "selected",
) -> None:
    """Find which masks to keep so that a promise about them holds."""
    with reported_errors():
        params = read_params()
        wanted = risk_control.Promise(promise, iou, alpha)
        model = model or shown_model(params.models)
        masks = Gated(split or params.eval_splits[0], protocol, model, measure)
        _check(params, masks, wanted)
        if promise == SET:
            made, covered = calibrate_sets(params, masks, wanted)
            lines, end = _set_lines(made, covered), f"-{SET}"
        else:
            made = calibrate_masks(masks, wanted)
            lines, end = _lines(made), ""
        path = gate_path(made.split, f"{protocol}-{made.model}-{measure}{end}")
        write_json(path, asdict(made))
    print(*lines, f"Written to {path}", sep="\n")


def _check(params: Params, masks: Gated, wanted: risk_control.Promise) -> None:
    for name, share in (("iou", wanted.iou), ("alpha", wanted.alpha)):
        if not 0 < share < 1:
            raise ParamsError(f"{name} must lie between 0 and 1, got {share}")
    check_known("promise", wanted.of, (*risk_control.PROMISES, SET))
    check_known("measure", masks.measure, tuple(BY_NAME))
    check_known("protocol", masks.protocol, PROTOCOLS)
    check_known("eval split", masks.split, params.eval_splits)
    check_known("model", masks.model, params.models)


def _lines(made: Gate) -> list[str]:
    symbol, limit = measure_label(made.measure), made.threshold
    predicted = BY_NAME[made.measure].predicted_iou
    same = f", that is {predicted} ≥ {1 - limit:.4g}" if predicted else ""
    masks = f"{MASK_LABELS[made.protocol]} of the {model_label(made.model)} model"
    calibrated = f"{made.n_objects} {masks} in {made.n_groups} images of {made.split}"
    return [
        f"Keep a mask if {symbol} ≤ {limit:.4g}{same}.",
        f"This keeps {made.kept:.1%} of the {calibrated}.",
        f"Promise for images like these: {promise_words(made)}.",
    ]


def _set_lines(made: Gate, covered: Coverage) -> list[str]:
    predicted = BY_NAME[made.measure].predicted_iou
    calibrated = f"{made.n_objects} objects in {made.n_groups} images of {made.split}"
    size = f"{made.kept * N_PROPOSALS:.2f} of the {N_PROPOSALS} proposals"
    checked = (
        f"{covered.share:.1%} of the sets on the others have one, and {covered.least:.1%} is the "
        "least that chance leaves"
    )
    doubt = f"the product of 1 − {predicted} of those ahead"
    return [
        f"Take proposals by {predicted}, highest first, while {doubt} is ≥ {made.threshold:.4g}.",
        f"Sets have {size} of the {model_label(made.model)} model on average: {calibrated}.",
        f"Promise for images like these: {promise_words(made)}.",
        f"Calibrated on {N_CALIBRATIONS} halves of these images, {checked}.",
    ]
