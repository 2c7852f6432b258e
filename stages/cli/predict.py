"""``usam predict``: objects of one image, with the uncertainty of their masks."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.predictor.advice import GOOD_IOU
from pipeline.vocabulary import MODELS
from stages.cli.predicted import (
    bayesian_lines,
    bayesian_values,
    everything_lines,
    lines_told,
    values_told,
)
from stages.predictor.gates import gated_models
from stages.predictor.prompts import (
    Clicks,
    Question,
    check_no_grid,
    check_share,
    grid_options,
    parse_clicks,
)
from stages.shell.parsing import ParamsError, check_known
from stages.shell.program import reported_errors
from storage.head_files.head_file import read_head_file, shipped_heads
from storage.images.files import read_rgb

ImageFile = Annotated[Path, typer.Argument(help="Image file.")]
OnObject = Annotated[list[str] | None, typer.Option(help="X,Y on the object.")]
BesideObject = Annotated[list[str] | None, typer.Option(help="X,Y beside the object.")]
AroundObject = Annotated[str | None, typer.Option(help="X,Y,W,H around the object.")]
Bayesian = Annotated[
    bool,
    typer.Option(
        "--bayesian", help="Also the entropies over views, clicks and models, and what they cost."
    ),
]
Everything = Annotated[
    bool,
    typer.Option(
        "--everything", help="Segment all there is, as SAM2's automatic mask generator does."
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
Model = Annotated[str, typer.Option(help="tiny, small, base_plus or large.")]
Heads = Annotated[
    Path | None, typer.Option(help="File written by `usam heads export`; it also names the family.")
]
GoodIou = Annotated[float, typer.Option(help="Expected IoU from which to keep the mask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Save = Annotated[Path | None, typer.Option(help="Folder to write pictures to.")]


def predict(  # noqa: PLR0913, PLR0917 - one for each option
    image: ImageFile,
    click: OnObject = None,
    not_click: BesideObject = None,
    box: AroundObject = None,
    bayesian: Bayesian = False,  # noqa: FBT002 - typer's options
    everything: Everything = False,  # noqa: FBT002
    points_per_side: PointsPerSide = None,
    min_score: MinScore = None,
    min_stability: MinStability = None,
    model: Model = "tiny",
    heads: Heads = None,
    good_iou: GoodIou = GOOD_IOU,
    as_json: AsJson = False,  # noqa: FBT002
    save: Save = None,
) -> None:
    """Segment an object, and say how wrong its mask may be and why; all clicks make one prompt."""
    grid = points_per_side, min_score, min_stability
    with reported_errors():
        question = _question(image, model, heads, good_iou, save)
        clicks = parse_clicks(click or [], not_click or [], box, question.size_px)
        if everything:
            if click or not_click or box or bayesian:
                raise ParamsError(
                    "--everything must be given without a prompt or --bayesian, got one"
                )
            told = _everything(question, grid_options(grid))
        else:
            check_no_grid(grid, "--everything")
            if clicks is None:
                raise ParamsError(
                    "a prompt must be given by --click X,Y or --box X,Y,W,H, or --everything, "
                    f"got {'--not-click alone' if not_click else 'none'}"
                )
            told = _prompt(question, clicks, with_bayesian=bayesian)
    _print(question, *told, as_json=as_json)


Told = tuple[dict[str, Any], str, list[Path]]
"""Values for programs, lines for people, and pictures."""


def _everything(question: Question, options: Mapping[str, Any]) -> Told:
    # Torch takes seconds to import, for which no error in the arguments should wait.
    from stages.predictor.answers import answer_everything  # noqa: PLC0415

    records, saved = answer_everything(question, options)
    return {"masks": records}, everything_lines(records, question.size_px), saved


def _prompt(question: Question, clicks: Clicks, *, with_bayesian: bool) -> Told:
    from stages.predictor.answers import answer_prompt  # noqa: PLC0415

    answer = answer_prompt(question, clicks, with_bayesian=with_bayesian)
    values, lines = values_told(answer.found), lines_told(answer.found)
    if answer.bayesian is not None:
        values["bayesian"] = bayesian_values(answer.bayesian, answer.seconds)
        lines += f"\n\n{bayesian_lines(values['bayesian'])}"
    return values, lines, answer.saved


def _print(
    question: Question, values: dict[str, Any], lines: str, saved: list[Path], *, as_json: bool
) -> None:
    height, width = question.size_px
    if as_json:
        about = {"image": str(question.path), "height_px": height, "width_px": width}
        about |= {"family": question.family, "model": question.model}
        print(json.dumps(about | values | {"saved": [str(path) for path in saved]}, indent=2))
        return
    heading = f"{question.path}, {width} x {height} px, {question.family} {question.model}"
    print(heading, lines, sep="\n\n")
    for path in saved:
        print(path)


def _question(
    path: Path, model: str, heads: Path | None, good_iou: float, save: Path | None
) -> Question:
    rgb = read_rgb(path)
    check_known("model", model, MODELS)
    check_share("good-iou", good_iou)
    if save is not None and save.exists() and not save.is_dir():
        raise ParamsError(f"--save must be a folder, got the file {save}")
    card = read_head_file(heads or shipped_heads()).card
    gated = gated_models(card)
    if gated and model not in gated:
        told = f"a gate for {', '.join(gated)}, which says nothing of masks of {model}"
        print(f"note: the heads' card has {told}", file=sys.stderr)
    return Question(path, rgb, card["family"], model, card["protocol"], heads, good_iou, save)
