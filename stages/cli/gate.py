"""``usam gate``: the uncertainty up to which masks may be kept for a promise to hold."""

from collections.abc import Mapping
from dataclasses import asdict
from math import ceil
from typing import Annotated, Any, Final

import pandas as pd
import typer

from pipeline import risk_control
from pipeline.mask_sets import N_CALIBRATIONS, Coverage
from pipeline.proposals import Values
from pipeline.result_rows import SPLIT_TABLES
from pipeline.scoring.measures import BY_NAME
from pipeline.scoring.statistics import shown_model
from pipeline.vocabulary import N_PROPOSALS, PROTOCOLS
from stages.mask_sets import calibrate_sets
from stages.page.labels import MASK_LABELS, measure_label, model_label
from stages.predictor.gates import SET, Gate, promise_words
from stages.program.main import reported_errors
from stages.settings.params import read_params
from stages.settings.parsing import ParamsError, check_known
from storage.errors import DataError
from storage.folders import write_json
from storage.outputs.results import SplitResults, read_results, read_run
from storage.paths import gate_path, results_dir

IN_USE: Final = "usam_ours"
"""Measure of the heads that a predictor takes by default."""

SUREST: Final = 0.1
"""Share of the least uncertain masks that shows whether an alpha is attainable."""


def gate(
    iou: Annotated[float, typer.Option(help="A mask falls short below this IoU.")],
    alpha: Annotated[float, typer.Option(help="Share that may fall short.")],
    promise: Annotated[
        str,
        typer.Option(
            help="Of what: kept masks, all masks, or set: sets of proposals without a better mask."
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
        _check(wanted, measure, protocol)
        split = split or params.eval_splits[0]
        check_known("eval split", split, params.eval_splits)
        if promise == SET:
            made, covered = calibrate_sets(params, split, wanted, protocol, model, measure)
            lines = _set_lines(made, covered)
        else:
            made = _of_masks(split, wanted, (protocol, model, measure))
            lines = _lines(made)
        name = f"{protocol}-{made.model}-{measure}"
        path = gate_path(split, f"{name}-{SET}" if promise == SET else name)
        write_json(path, asdict(made))
    print(*lines, f"Written to {path}", sep="\n")


def _of_masks(split: str, wanted: risk_control.Promise, of: tuple[str, str | None, str]) -> Gate:
    column = _column(of[-1], read_run(results_dir(split)))
    found = read_results(results_dir(split), of_objects={*SPLIT_TABLES["objects"].columns, column})
    return _calibrate(found, wanted, of, column)


def _column(measure: str, run: Mapping[str, Any]) -> str:
    """Where the table of objects has a measure, under the first of the heads."""
    heads = next(iter(run["heads"]), "") if BY_NAME[measure].needs_heads else ""
    return f"{measure}@{heads}" if heads else measure


def _calibrate(
    found: SplitResults, wanted: risk_control.Promise, of: tuple[str, str | None, str], column: str
) -> Gate:
    protocol, model, measure = of
    split = found.run["split"]
    model, rows = _rows_of_model(found.objects, protocol, model)
    judged = risk_control.Judged.masks(
        _uncertainty(rows, measure, column),
        (rows["iou"] < wanted.iou).to_numpy(),
        rows["group"].to_numpy(),
    )
    limit = risk_control.threshold(judged, wanted)
    n_groups = len(judged.images())
    if limit == risk_control.NOTHING:
        raise DataError(_nothing(judged, wanted, measure, f"{n_groups} images of {split}"))
    return Gate(
        split=split,
        protocol=protocol,
        model=model,
        measure=measure,
        train_split=column.removeprefix(measure).removeprefix("@"),
        promise=wanted.of,
        iou_at_least=wanted.iou,
        alpha=wanted.alpha,
        confidence=risk_control.CONFIDENCE if wanted.of == "kept" else None,
        threshold=limit,
        kept=float((judged.uncertainty <= limit).mean()),
        n_objects=len(rows),
        n_groups=n_groups,
    )


def _rows_of_model(
    rows: pd.DataFrame, protocol: str, model: str | None
) -> tuple[str, pd.DataFrame]:
    """The model that is named, or the one in use by default, and its masks under a protocol."""
    models = tuple(rows["model"].unique())
    model = model or shown_model(models)
    check_known("model", model, models)
    is_wanted = (
        (rows["protocol"] == protocol) & (rows["judged"] == protocol) & (rows["model"] == model)
    )
    return model, rows[is_wanted]


def _uncertainty(rows: pd.DataFrame, measure: str, column: str) -> Values:
    if column not in rows or rows[column].isna().all():
        raise DataError(f"results of the split must have {column}, got none of these masks")
    value: Values = rows[column].to_numpy()
    return 1 - value if BY_NAME[measure].predicted_iou else value


def _check(wanted: risk_control.Promise, measure: str, protocol: str) -> None:
    for name, share in (("iou", wanted.iou), ("alpha", wanted.alpha)):
        if not 0 < share < 1:
            raise ParamsError(f"{name} must lie between 0 and 1, got {share}")
    check_known("promise", wanted.of, (*risk_control.PROMISES, SET))
    check_known("measure", measure, tuple(BY_NAME))
    check_known("protocol", protocol, PROTOCOLS)


def _nothing(
    judged: risk_control.Judged, wanted: risk_control.Promise, measure: str, images: str
) -> str:
    surest = judged.falls_short[: ceil(SUREST * len(judged.falls_short))]
    other = ", or --promise all" if wanted.of == "kept" else ""
    least = risk_control.least_images(wanted)
    return (
        f"{measure_label(measure)} must have a threshold that the {images} show to hold this "
        f"promise, got none: {surest.mean():.0%} of the least uncertain tenth of the masks fall "
        f"short, {judged.falls_short.mean():.0%} of all, and even masks that never do take {least} "
        f"images; ask for a larger alpha or a lower iou, or take more images{other}"
    )


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
