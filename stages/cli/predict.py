"""``usam predict``: segments objects of one image, and prints the uncertainty of their masks."""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipeline.predictor.advice import KEEP, NONE, Costs
from pipeline.predictor.prompt_sets import BACKGROUND, BOX_ORDER, FOREGROUND, DecoderPrompts
from stages.cli.columns import aligned
from stages.predictor.card_entries import gate_words, set_words
from stages.predictor.command_options import (
    BEST,
    SELECTED,
    GridOptions,
    ModelOptions,
    check_masks,
    parse_clicks,
    with_records,
)
from stages.predictor.model_choice import ModelChoice
from stages.program.main import reported_errors
from stages.settings.parsing import ParamsError
from storage.errors import printable
from storage.folders import check_output, whole_file
from storage.images.image_files import read_rgb
from storage.rle import decode_rle

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


PICTURES: Final = ("mask", "overlay", "entropy", "everything")
"""Kinds of pictures to save, which their names end with."""

SOFTWARE: Final = "usam-cache"
"""What saved pictures name as their maker."""

PNG_BEGINS: Final = re.compile(rb"(?s)\x89PNG.{33}tEXtSoftware\0" + SOFTWARE.encode())
"""First bytes of a saved picture: signature and header, then its maker (PNG 1.2, 11.3.4)."""


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
        try:
            costs = Costs(cost_of_click, cost_of_larger_model, cost_of_person)
        except ValueError as error:
            raise ParamsError(str(error)) from error
        choice = model_options.choose_for(image)
        masks = BEST if best_mask else SELECTED
        check_masks(masks, choice.file.choices)
        rgb = read_rgb(image)
        height, width = rgb.shape[:2]
        paths = _picture_paths(image, save) if save else {}
        _note_gates(choice)
        options = grid.of_generator(choice.family, "" if everything else "--everything")
        if everything:
            if best_mask:
                raise ParamsError("--best-mask must be given with a prompt, got --everything")
            if click or not_click or box:
                raise ParamsError("--everything must be given without a prompt, got one")
            answer = _everything(choice, rgb, costs, options)
        else:
            prompt = parse_clicks(click or [], not_click or [], box, (height, width))
            answer = _prompt(choice, rgb, costs, prompt, masks)
        values, lines, draw = answer
        saved = [_save(paths[kind], pixels) for kind, pixels in draw().items()] if paths else []
    if as_json:
        size = {"height_px": height, "width_px": width}
        header = {"image": str(image), **size, "family": choice.family, "model": choice.model}
        print(json.dumps(header | values() | {"saved": saved}, indent=2))
    else:
        name = f"{printable(str(image))}, {width} x {height} px, {choice.family} {choice.model}"
        print(f"{name}\n\n{lines()}", *map(printable, saved), sep="\n")


Answer = tuple[Callable[[], dict[str, Any]], Callable[[], str], Callable[[], dict[str, np.ndarray]]]
"""Functions that make the values for ``--json``, the text for people, and the pictures by kind."""


def _picture_paths(image: Path, folder: Path) -> dict[str, Path]:
    """Path of each kind of picture in a folder; a file there that is none is refused."""
    paths = {kind: folder / f"{image.stem}-{kind}.png" for kind in PICTURES}
    for path in paths.values():
        check_output(path, PNG_BEGINS)
    return paths


def _note_gates(choice: ModelChoice) -> None:
    """Print a note if the heads' card has guarantees, but none for masks of the model."""
    gated = dict.fromkeys(guarantee.model for guarantee in choice.file.guarantees)
    if gated and choice.model not in gated:
        print(
            f"note: the heads' card has a gate for {', '.join(gated)}, which says nothing of masks "
            f"of {choice.model}",
            file=sys.stderr,
        )


def _everything(
    choice: ModelChoice, rgb: np.ndarray, costs: Costs, options: Mapping[str, Any]
) -> Answer:
    """Predict masks of everything in the image; ``options`` are those of the generator.

    The picture has all masks, coloured by score from red to green.
    """
    # Imported late: torch takes seconds, and errors in the arguments should show at once.
    from pipeline.predictor import UncertainMaskGenerator  # noqa: PLC0415
    from stages.predictor.answers import record_score  # noqa: PLC0415
    from stages.predictor.loading import load_chosen  # noqa: PLC0415

    generator = UncertainMaskGenerator(
        load_chosen(choice), costs=costs, output_mode="coco_rle", **options
    )
    records = generator.generate(rgb)
    height, width = rgb.shape[:2]

    def draw() -> dict[str, np.ndarray]:
        from pipeline.predictor.pictures import draw_masks  # noqa: PLC0415 - few draw

        # Large masks come first, so that they do not cover small masks.
        ordered = sorted(records, key=lambda record: -record["area"])
        drawn = [decode_rle(record["segmentation"]["counts"], height, width) for record in ordered]
        return {"everything": draw_masks(rgb, drawn, [*map(record_score, ordered)])}

    values = {"gate": None, "masks": records}
    return lambda: values, partial(_everything_lines, records, height * width), draw


def _prompt(
    choice: ModelChoice, rgb: np.ndarray, costs: Costs, prompt: DecoderPrompts, masks: str
) -> Answer:
    """Predict the masks of the prompted object, with their uncertainty.

    The pictures are the mask that ``masks`` names (255 inside), its overlay on the image, and the
    entropies of its proposal.
    """
    from stages.predictor.answers import picked_mask  # noqa: PLC0415
    from stages.predictor.loading import load_chosen  # noqa: PLC0415

    predictor = load_chosen(choice)
    predictor.set_image(rgb)
    (uncertainty,) = predictor.answers([prompt], costs)

    def draw() -> dict[str, np.ndarray]:
        from pipeline.predictor.pictures import draw_entropy, draw_mask  # noqa: PLC0415 - few draw

        assert prompt.points is not None  # a mask alone cannot be given
        assert prompt.labels is not None
        on, beside = (
            [(x, y) for x, y in prompt.points[prompt.labels == label].tolist()]
            for label in (FOREGROUND, BACKGROUND)
        )
        picked = picked_mask(uncertainty, masks)
        return {
            "mask": picked.mask.astype(np.uint8) * 255,
            "overlay": draw_mask(rgb, picked.mask, on=on, beside=beside),
            "entropy": draw_entropy(rgb, uncertainty.pixel_entropy[picked.proposal]),
        }

    def values() -> dict[str, Any]:
        gate, sets = gate_words(uncertainty), set_words(uncertainty)
        return {"gate": gate or None, **uncertainty.to_dict(), "set": sets or None}

    return values, partial(_lines, uncertainty), draw


def _save(path: Path, pixels: np.ndarray) -> str:
    maker = PngInfo()
    maker.add_text("Software", SOFTWARE)
    with whole_file(path) as partial:
        Image.fromarray(pixels).save(partial, "PNG", pnginfo=maker)
    return str(path)


def _lines(uncertainty: "Uncertainty") -> str:
    """Text about the masks of a prompt: proposals, gains, advice, guarantees and a caution."""
    expected = uncertainty.expected_iou
    of_heads = [] if expected is None else [_gain_rows(uncertainty, expected), _chosen(uncertainty)]
    entropy = f"H_A {uncertainty.h_a:.2f} bits. {_advice(uncertainty)}"
    paragraphs = [_proposal_rows(uncertainty), *of_heads, entropy]
    if uncertainty.is_kept is not None:
        verdict = "keep" if uncertainty.is_kept else "do not keep"
        gate = gate_words(uncertainty)
        paragraphs.append(f"Gate in the heads' card: {verdict} the mask. {gate}")
    if sets := set_words(uncertainty):
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
        gains = [gap.get(source) for gap in (expected.gaps, expected.direct_gaps)]
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
    return f"Advice: {advice.words}, expected gain in IoU {advice.gain:+.2f}."


def _everything_lines(records: Sequence[Mapping[str, Any]], n_px: int) -> str:
    """Text with a row for each mask that ``--everything`` found; a hint if it found none."""
    from stages.predictor.answers import record_score  # noqa: PLC0415 - torch

    if not records:
        return "No masks: a lower --min-score or --min-stability keeps more."
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
                f"{record['area'] / n_px:.1%}",
                *(f"{score:.2f}" for score in scores),
                *(f"{gaps[i][source]:+z.2f}" for source in sources),
                record["advice"]["words"],
            )
        )
    return aligned(rows, right=range(4 + len(sources)))
