"""``usam predict``: objects of one image, with the uncertainty of their masks."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pipeline.predictor.advice import KEEP, NONE, Costs
from pipeline.predictor.prompt_sets import BOX_ORDER, PromptSet
from stages.cli.columns import aligned
from stages.predictor import command_options
from stages.predictor.card_entries import gate_words, gated_models, photograph_note, set_words
from stages.program.main import reported_errors
from stages.settings.parsing import ParamsError, check_known
from storage.errors import printable
from storage.head_files.head_file import read_head_file, shipped_heads
from storage.images.image_files import read_rgb

if TYPE_CHECKING:
    from pipeline.predictor import Uncertainty

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
PointsPerSide = Annotated[
    int | None, typer.Option(help="For everything: clicks per row of the grid; 32 by default.")
]
MinScore = Annotated[
    float | None, typer.Option(help="For everything: lowest SamScore to keep; 0.8 by default.")
]
MinStability = Annotated[
    float | None, typer.Option(help="For everything: lowest stability to keep; 0.95 by default.")
]
Model = Annotated[
    str | None, typer.Option(help="Model; by default the smallest whose tokens the heads read.")
]
Heads = Annotated[
    Path | None, typer.Option(metavar="FILE", help="From `usam heads export`; sets the family.")
]
CostOfClick = Annotated[
    float, typer.Option(metavar="IOU", help="Cost of clicking again; 1 means never.")
]
CostOfLargerModel = Annotated[
    float, typer.Option(metavar="IOU", help="Cost of asking the large model; 1 means never.")
]
CostOfPerson = Annotated[float, typer.Option(metavar="IOU", help="Cost of a person drawing it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Save = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where to write pictures.")]


GAINS: Final = {
    "model": "the {largest} model instead of the {smallest} one",
    "prompt": "eight clicks instead of one",
    "task": "the best proposal instead of this one",
}
"""Sources of uncertainty, as the gains that would remove them."""


def predict(  # noqa: PLR0913, PLR0917 - one for each option
    image: ImageFile,
    click: OnObject = None,
    not_click: BesideObject = None,
    box: AroundObject = None,
    everything: Everything = False,  # noqa: FBT002 - typer's options
    points_per_side: PointsPerSide = None,
    min_score: MinScore = None,
    min_stability: MinStability = None,
    model: Model = None,
    heads: Heads = None,
    cost_of_click: CostOfClick = Costs.click,
    cost_of_larger_model: CostOfLargerModel = Costs.larger_model,
    cost_of_person: CostOfPerson = Costs.person,
    as_json: AsJson = False,  # noqa: FBT002
    save: Save = None,
) -> None:
    """Segment an object; say how wrong its mask may be, and why."""
    grid = points_per_side, min_score, min_stability
    with reported_errors():
        costs = command_options.parse_costs(cost_of_click, cost_of_larger_model, cost_of_person)
        question = _question(image, model, heads, costs, save)
        if everything:
            if click or not_click or box:
                raise ParamsError("--everything must be given without a prompt, got one")
            answer = _everything(question, command_options.grid_options(grid))
        else:
            command_options.check_no_grid(grid, "--everything")
            prompt = command_options.parse_clicks(
                click or [], not_click or [], box, question.size_px
            )
            answer = _prompt(question, prompt)
    _print(question, *answer, as_json=as_json)


Printed = tuple[dict[str, Any], str, list[Path]]
"""Values for programs, lines for users, and pictures."""


def _everything(question: command_options.Question, options: Mapping[str, Any]) -> Printed:
    # Imported late: torch takes seconds, and errors in the arguments should show at once.
    from stages.predictor.answers import answer_everything  # noqa: PLC0415

    records, saved = answer_everything(question, options)
    return {"masks": records}, _everything_lines(records, question.size_px), saved


def _prompt(question: command_options.Question, prompt: PromptSet) -> Printed:
    from stages.predictor.answers import answer_prompt  # noqa: PLC0415

    found, saved = answer_prompt(question, prompt)
    sets = set_words(question.card, question.model, found.mask_set)
    return {**found.to_dict(), "set": sets or None}, _lines(found, question, sets), saved


def _print(
    question: command_options.Question,
    values: dict[str, Any],
    lines: str,
    saved: list[Path],
    *,
    as_json: bool,
) -> None:
    family = question.card["family"]
    note = photograph_note(family, question.rgb)
    if note:
        print(note, file=sys.stderr)
    height, width = question.size_px
    if as_json:
        about = {"image": str(question.path), "height_px": height, "width_px": width}
        about |= {"family": family, "model": question.model}
        about |= {"gate": gate_words(question.card, question.model) or None}
        print(json.dumps(about | values | {"saved": [str(path) for path in saved]}, indent=2))
        return
    name = printable(str(question.path))
    heading = f"{name}, {width} x {height} px, {family} {question.model}"
    print(heading, lines, sep="\n\n")
    for path in saved:
        print(printable(str(path)))


def _question(
    path: Path, model: str | None, heads: Path | None, costs: Costs, save: Path | None
) -> command_options.Question:
    rgb = read_rgb(path)
    path_of_heads = heads or shipped_heads()
    file = read_head_file(path_of_heads)
    card, model = file.card, model or file.readers[0]
    check_known("model", model, file.readers)
    if save is not None and save.exists() and not save.is_dir():
        raise ParamsError(f"--save must be a folder, got the file {save}")
    gated = gated_models(card)
    if gated and model not in gated:
        print(
            f"note: the heads' card has a gate for {', '.join(gated)}, which says nothing of masks "
            f"of {model}",
            file=sys.stderr,
        )
    return command_options.Question(path, rgb, model, path_of_heads, card, costs, save)


def _lines(found: "Uncertainty", question: command_options.Question, sets: str) -> str:
    """The proposals, what corrections would gain, the advice, and what gates promise."""
    rows: list[tuple[str, ...]] = [("proposal", "area", "SamScore", "expected IoU", "H_Std", "")]
    doubt = "?" if found.advice.correction == NONE else ""
    for k, mask in enumerate(found.masks):
        score, own, bits = found.sam_score[k], found.expected_iou.own[k], found.h_std[k]
        mark = "selected" if k == found.selected else ""
        rows.append(
            (str(k), f"{mask.mean():.1%}", f"{score:.2f}", f"{own:.2f}{doubt}", f"{bits:.2f}", mark)
        )
    gains: list[tuple[str, ...]] = [("expected gain of the selected proposal in IoU", "Δ", "Δ*")]
    models = [name.replace("_", " ") for name in found.expected_iou.models]
    for source, words in GAINS.items():
        both = [part.by_name.get(source) for part in (found.gap, found.direct_gap)]
        named = words.format(smallest=models[0], largest=models[-1])
        known = [f"{gain[found.selected]:+z.2f}" for gain in both if gain is not None]
        if known:
            gains.append((named, *known))
    parts = [
        aligned(rows, right=range(5)),
        aligned(gains, right=(1, 2)),
        f"H_A {found.h_a:.2f} bits. {_advice(found)}",
    ]
    if found.is_kept is not None:
        verdict = "keep" if found.is_kept else "do not keep"
        promised = gate_words(question.card, question.model)
        parts.append(f"Gate in the heads' card: {verdict} the mask. {promised}")
    if sets:
        parts.append(sets)
    if found.caution:
        parts.append(f"Caution: {found.caution}.")
    return "\n\n".join(parts)


def _advice(found: "Uncertainty") -> str:
    advice, own = found.advice, found.expected_iou.own[found.selected]
    if advice.correction == NONE:
        return f"{advice.words.capitalize()}."
    if advice.correction == KEEP:
        return f"Advice: {advice.words}."
    which = f", number {found.alternative}" if advice.correction == "task" else ""
    change = f"expected IoU {own:.2f} -> {advice.expected_iou:.2f}"
    return f"Advice: {advice.words}{which} ({change})."


def _everything_lines(records: Sequence[Mapping[str, Any]], size_px: tuple[int, int]) -> str:
    """A row for each mask."""
    if not records:
        return "No masks: a lower --min-score or --min-stability keeps more."
    height, width = size_px
    sources = list(records[0]["gap"])
    rows: list[tuple[str, ...]] = [
        ("mask", "area", "SamScore", "expected IoU", *(f"Δ {name}" for name in sources), "advice")
    ]
    for i, one in enumerate(records):
        scores = one["predicted_iou"], one["expected_iou"]["own"]
        rows.append(
            (
                str(i),
                f"{one['area'] / (height * width):.1%}",
                *(f"{score:.2f}" for score in scores),
                *(f"{one['gap'][source]:+z.2f}" for source in sources),
                one["advice"]["words"],
            )
        )
    return aligned(rows, right=range(4 + len(sources)))
