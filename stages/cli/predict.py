"""``usam predict``: segments objects of one image, and prints the uncertainty of their masks."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pipeline.predictor.advice import KEEP, NONE, Costs
from pipeline.predictor.prompt_sets import BOX_ORDER, DecoderPrompts
from pipeline.sam.families import DRAWN
from stages.cli.columns import aligned
from stages.cli.predictor_options import GridOptions, ModelOptions, with_records
from stages.predictor import command_options
from stages.predictor.card_entries import NOTE, gate_words, gated_models, set_words
from stages.predictor.model_choice import ModelChoice, default_family
from stages.program.main import reported_errors
from stages.settings.parsing import ParamsError
from storage.errors import printable
from storage.folders import check_output
from storage.head_files.guarantees import choices_of
from storage.images.image_files import read_rgb

if TYPE_CHECKING:
    from pipeline.predictor import Uncertainty
    from pipeline.scoring.evidence import HeadPredictions

ImageFile = Annotated[Path, typer.Argument(help="Image file.")]
OnObject = Annotated[
    list[str] | None, typer.Option(metavar="X,Y", help="Click on the object; may be repeated.")
]
BesideObject = Annotated[
    list[str] | None, typer.Option(metavar="X,Y", help="Click beside it; may be repeated.")
]
AroundObject = Annotated[str | None, typer.Option(metavar=BOX_ORDER, help="Box around the object.")]
Everything = Annotated[
    bool,
    typer.Option(
        "--everything", help="Segment everything, as SAM2's automatic mask generator does."
    ),
]
CostOfClick = Annotated[
    float, typer.Option(metavar="IOU", help="Cost of clicking again; 1 means never.")
]
CostOfLargerModel = Annotated[
    float, typer.Option(metavar="IOU", help="Cost of asking the large model; 1 means never.")
]
CostOfPerson = Annotated[float, typer.Option(metavar="IOU", help="Cost of a person drawing it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
BestMask = Annotated[bool, typer.Option("--best-mask", help="Save the mask that the heads choose.")]
Save = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where to write pictures.")]


GAINS: Final = {
    "model": "the {largest} model instead of the {smallest} one",
    "prompt": "eight clicks instead of one",
    "task": "the best proposal instead of this one",
}
"""Corrections in words, by the source of uncertainty that the correction would remove."""


@with_records
def predict(  # noqa: PLR0913 - one for each option
    image: ImageFile,
    *,
    click: OnObject = None,
    not_click: BesideObject = None,
    box: AroundObject = None,
    everything: Everything = False,
    grid: GridOptions,
    model_options: ModelOptions,
    cost_of_click: CostOfClick = Costs.click,
    cost_of_larger_model: CostOfLargerModel = Costs.larger_model,
    cost_of_person: CostOfPerson = Costs.person,
    as_json: AsJson = False,
    save: Save = None,
    best_mask: BestMask = False,
) -> None:
    """Segment an object; say how wrong its mask may be, and why."""
    with reported_errors():
        costs = command_options.parse_costs(cost_of_click, cost_of_larger_model, cost_of_person)
        choice = model_options.choose(image)
        masks = command_options.BEST if best_mask else command_options.SELECTED
        command_options.check_masks(masks, choices_of(choice.card))
        question = _question(image, choice, costs, save=save, masks=masks)
        options = command_options.grid_options(
            vars(grid), "--everything", is_everything=everything, family=choice.family
        )
        if everything:
            if best_mask:
                raise ParamsError("--best-mask must be given with a prompt, got --everything")
            if click or not_click or box:
                raise ParamsError("--everything must be given without a prompt, got one")
            answer = _everything(question, options)
        else:
            prompt = command_options.parse_clicks(
                click or [], not_click or [], box, question.size_px
            )
            answer = _prompt(question, prompt)
    _print(question, *answer, as_json=as_json)


Printed = tuple[dict[str, Any], str, list[Path]]
"""Values for ``--json``, text for people, and the paths of saved pictures."""


def _everything(question: command_options.Question, options: Mapping[str, Any]) -> Printed:
    # Imported late: torch takes seconds, and errors in the arguments should show at once.
    from stages.predictor.answers import answer_everything  # noqa: PLC0415

    records, saved = answer_everything(question, options)
    return {"gate": None, "masks": records}, _everything_lines(records, question.size_px), saved


def _prompt(question: command_options.Question, prompt: DecoderPrompts) -> Printed:
    from stages.predictor.answers import answer_prompt  # noqa: PLC0415

    uncertainty, saved = answer_prompt(question, prompt)
    sets = set_words(uncertainty)
    gate = gate_words(uncertainty)
    values = {"gate": gate or None, **uncertainty.to_dict(), "set": sets or None}
    return values, _lines(uncertainty, gate, sets), saved


def _print(
    question: command_options.Question,
    values: dict[str, Any],
    lines: str,
    saved: list[Path],
    *,
    as_json: bool,
) -> None:
    choice = question.choice
    if choice.family == DRAWN != default_family(question.path):
        print(NOTE, file=sys.stderr)
    height, width = question.size_px
    if as_json:
        header = {
            "image": str(question.path),
            "height_px": height,
            "width_px": width,
            "family": choice.family,
            "model": choice.model,
        }
        print(json.dumps(header | values | {"saved": [str(path) for path in saved]}, indent=2))
        return
    name = printable(str(question.path))
    heading = f"{name}, {width} x {height} px, {choice.family} {choice.model}"
    print(heading, lines, sep="\n\n")
    for path in saved:
        print(printable(str(path)))


def _question(
    path: Path, choice: ModelChoice, costs: Costs, *, save: Path | None, masks: str
) -> command_options.Question:
    rgb = read_rgb(path)
    question = command_options.Question(path, rgb, choice, costs, save, masks)
    for kind in command_options.PICTURES if save else ():
        check_output(question.picture_path(kind), command_options.PNG_BEGINS)
    gated = gated_models(choice.card)
    if gated and choice.model not in gated:
        print(
            f"note: the heads' card has a gate for {', '.join(gated)}, which says nothing of masks "
            f"of {choice.model}",
            file=sys.stderr,
        )
    return question


def _lines(uncertainty: "Uncertainty", gate: str, sets: str) -> str:
    """Text about the masks of a prompt: proposals, gains, advice, guarantees and a caution.

    ``gate`` and ``sets`` are sentences about the guarantees of the heads' card, empty without one.
    """
    expected = uncertainty.expected_iou
    of_heads = [] if expected is None else [_gain_rows(uncertainty, expected), _chosen(uncertainty)]
    entropy = f"H_A {uncertainty.h_a:.2f} bits. {_advice(uncertainty)}"
    paragraphs = [_proposal_rows(uncertainty), *of_heads, entropy]
    if uncertainty.is_kept is not None:
        verdict = "keep" if uncertainty.is_kept else "do not keep"
        paragraphs.append(f"Gate in the heads' card: {verdict} the mask. {gate}")
    if sets:
        paragraphs.append(sets)
    if uncertainty.caution and expected is not None:
        paragraphs.append(f"Caution: {uncertainty.caution}.")
    return "\n\n".join(paragraphs)


def _proposal_rows(uncertainty: "Uncertainty") -> str:
    expected = uncertainty.expected_iou
    judged = "stability" if expected is None else "expected IoU"
    rows: list[tuple[str, ...]] = [("proposal", "area", "SamScore", judged, "H_Std", "")]
    numbers = uncertainty.stability if expected is None else expected.own
    doubt = "?" if expected is not None and uncertainty.advice.correction == NONE else ""
    for k, mask in enumerate(uncertainty.masks):
        rows.append(
            (
                str(k),
                f"{mask.mean():.1%}",
                f"{uncertainty.sam_score[k]:.2f}",
                f"{numbers[k]:.2f}{doubt}",
                f"{uncertainty.h_std[k]:.2f}",
                "selected" if k == uncertainty.selected else "",
            )
        )
    return aligned(rows, right=range(5))


def _gain_rows(uncertainty: "Uncertainty", expected: "HeadPredictions") -> str:
    rows: list[tuple[str, ...]] = [("expected gain of the selected proposal in IoU", "Δ", "Δ*")]
    models = [name.replace("_", " ") for name in expected.models]
    for source, words in GAINS.items():
        gains = [gap.by_name.get(source) for gap in (expected.gaps, expected.direct_gaps)]
        numbers = [f"{gain[uncertainty.selected]:+z.2f}" for gain in gains if gain is not None]
        if numbers:
            rows.append((words.format(smallest=models[0], largest=models[-1]), *numbers))
    return aligned(rows, right=(1, 2))


def _chosen(uncertainty: "Uncertainty") -> str:
    choice = uncertainty.choice
    if choice is None:
        return f"No choice of masks: {uncertainty.permission.no_choice}."
    if choice.is_own_mask(uncertainty.selected):
        return "Chosen mask: the selected one. No other mask is expected to gain IoU."
    return (
        f"Chosen mask: proposal {choice.proposal} cut at a probability of {choice.cut:g}, "
        f"{choice.mask.mean():.1%} of the image, expected gain in IoU {choice.gain:+.2f}."
    )


def _advice(uncertainty: "Uncertainty") -> str:
    advice = uncertainty.advice
    if advice.correction == NONE:
        return f"{advice.words.capitalize()}."
    if advice.correction == KEEP:
        return f"Advice: {advice.words}."
    return f"Advice: {advice.words} (expected gain in IoU {advice.gain:+.2f})."


def _everything_lines(records: Sequence[Mapping[str, Any]], size_px: tuple[int, int]) -> str:
    """Text with a row for each mask that ``--everything`` found; a hint if it found none."""
    from stages.predictor.answers import record_score  # noqa: PLC0415 - torch

    if not records:
        return "No masks: a lower --min-score or --min-stability keeps more."
    height, width = size_px
    gaps = [record["gap"] or {} for record in records]
    sources = list(gaps[0])
    judged = "expected IoU" if sources else "SamScore × stability"
    rows: list[tuple[str, ...]] = [
        ("mask", "area", "SamScore", judged, *(f"Δ {name}" for name in sources), "advice")
    ]
    for i, record in enumerate(records):
        scores = record["predicted_iou"], record_score(record)
        rows.append(
            (
                str(i),
                f"{record['area'] / (height * width):.1%}",
                *(f"{score:.2f}" for score in scores),
                *(f"{gaps[i][source]:+z.2f}" for source in sources),
                record["advice"]["words"],
            )
        )
    return aligned(rows, right=range(4 + len(sources)))
