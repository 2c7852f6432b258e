"""``usam gate``: finds the uncertainty up to which masks may be kept under a guarantee."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Final

import typer

from pipeline import mask_sets, risk_control
from pipeline.heads.scope import OF_SETS, CalibratedGuarantee
from pipeline.mask_sets import Coverage
from pipeline.risk_control import Guarantee
from pipeline.scoring.measures import BY_NAME
from pipeline.scoring.tasks import shown_model
from pipeline.vocabulary import N_PROPOSALS, PROTOCOLS
from stages.cli.columns import aligned
from stages.gate_calibration import OF_PROPOSALS, Gated, calibrate
from stages.page.labels import MASK_LABELS, measure_label, model_label
from stages.predictor.card_entries import PROMPT_WORDS, guarantee_words
from stages.program.main import reported_errors
from stages.settings.params import Params, read_params
from stages.settings.parsing import ParamsError, check_known
from storage.errors import DataError
from storage.head_files.guarantees import write_guarantees
from storage.paths import gate_path

IN_USE: Final = "usam_ours"
"""Default measure: the uncertainty by the heads that a predictor uses by default."""

LEAST_SHARE: Final = 1e-6
"""Smallest IoU, and smallest share of a promise: less takes millions of images to show."""


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
    measure: Annotated[str, typer.Option(help=f"One of {', '.join(OF_PROPOSALS)}.")] = IN_USE,
    protocol: Annotated[str, typer.Option(help="Which masks: selected or best.")] = "selected",
) -> None:
    """Find which masks to keep so that a promise about them holds.

    Print a threshold of the measure for each prompt set, and write the thresholds to a file for
    `usam heads export --gates`. Exit 1 if no threshold holds the promise.
    """
    with reported_errors():
        params = read_params()
        guarantee = Guarantee(promise, iou, alpha)
        masks = _masks(params, split, protocol, model, measure)
        _check(params, masks, guarantee)
        coverages, faults = calibrate(params, masks, guarantee)
        if not coverages:
            raise DataError("; ".join(faults.values()))
        calibrated = [*coverages]
        end = f"-{OF_SETS}" if promise == OF_SETS else ""
        path = gate_path(masks.split, f"{protocol}-{masks.model}-{measure}{end}")
        write_guarantees(path, calibrated)
    lines = [_coverage_line(made, coverage) for made, coverage in coverages.items() if coverage]
    left_out = [f"No threshold for {PROMPT_WORDS[name]}: {why}." for name, why in faults.items()]
    print(*_lines(calibrated, masks), *lines, *left_out, f"Written to {path}", sep="\n")


def _masks(
    params: Params, split: str | None, protocol: str, model: str | None, measure: str
) -> Gated:
    check_known("measure", measure, OF_PROPOSALS)
    train_split = ""
    if BY_NAME[measure].needs_heads:
        if not params.train_splits:
            raise ParamsError(
                f"train_splits must name the split whose heads compute {measure}, got none: add "
                "one, or use a measure without heads by --measure sam_score"
            )
        train_split = params.train_splits[0]
    return Gated(
        split or params.eval_splits[0],
        protocol,
        model or shown_model(params.models),
        measure,
        train_split,
    )


def _check(params: Params, masks: Gated, guarantee: Guarantee) -> None:
    for name, share in (("iou", guarantee.iou), ("alpha", guarantee.alpha)):
        if not LEAST_SHARE <= share < 1:
            raise ParamsError(f"{name} must be from {LEAST_SHARE:g} to below 1, got {share}")
    check_known("promise", guarantee.of, (*risk_control.GUARANTEES, OF_SETS))
    check_known("protocol", masks.protocol, PROTOCOLS)
    check_known("eval split", masks.split, params.eval_splits)
    check_known("model", masks.model, params.models)


def _lines(calibrated: Sequence[CalibratedGuarantee], masks: Gated) -> list[str]:
    """Lines that ``usam gate`` prints: the threshold of each prompt set, the guarantee in words."""
    first = calibrated[0]
    symbol, predicted = measure_label(masks.measure), BY_NAME[masks.measure].predicted_iou
    model, n_images = model_label(masks.model), first.scope.n_images
    prompts = tuple(name for calibration in calibrated for name in calibration.scope.prompts)
    words = guarantee_words(replace(first, scope=replace(first.scope, prompts=prompts)))
    if first.of == OF_SETS:
        rule = (
            f"Take proposals by {predicted}, highest first, while the product of 1 − {predicted} "
            "of the proposals ahead is at least the threshold:"
        )
        columns = ("prompt", "threshold", "proposals in a set", "objects")
        rows = [
            (f"{calibration.threshold:.4g}", f"{calibration.kept * N_PROPOSALS:.2f}")
            for calibration in calibrated
        ]
        of_masks = f"sets of the {N_PROPOSALS} proposals of the {model} model"
    else:
        rule = f"Keep a mask if {symbol} is at most the threshold:"
        columns = ("prompt", "threshold", "masks kept", "masks")
        rows = [
            (f"{calibration.threshold:.4g}", f"{calibration.kept:.1%}")
            for calibration in calibrated
        ]
        of_masks = f"{MASK_LABELS[masks.protocol]} of the {model} model"
    table = [
        (PROMPT_WORDS[prompt], *row, str(calibration.n_objects))
        for prompt, row, calibration in zip(prompts, rows, calibrated, strict=True)
    ]
    return [
        rule,
        aligned([columns, *table], right=range(1, 4)),
        f"Calibrated on {of_masks} in {n_images} images of {masks.split}.",
        f"Promise for images and prompts like these: {words}.",
    ]


def _coverage_line(calibrated: CalibratedGuarantee, coverage: Coverage) -> str:
    prompt, n_halves = PROMPT_WORDS[calibrated.scope.prompts[0]], mask_sets.N_CALIBRATIONS
    without = (
        f" {coverage.n_without} of the halves have no sets, so that the promise is near its limit."
        if coverage.n_without
        else ""
    )
    return (
        f"From {prompt}, calibrated on {n_halves} halves of these images: "
        f"{coverage.share:.1%} of the sets on the others have a good mask, where chance leaves "
        f"{coverage.least:.1%} at least; on average only: {coverage.of_small:.0%} for the smallest "
        f"third of the objects, {coverage.of_worst:.0%} in the worst tenth of the images.{without}"
    )
