"""``usam predict``: objects of one image, with the uncertainty of their masks."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from pipeline.predictor.advice import GOOD_IOU
from pipeline.vocabulary import MODELS
from stages.cli.predicted import (
    bayesian_lines,
    bayesian_values,
    everything_lines,
    grid_options,
    lines_told,
    values_told,
)
from stages.predictor.questions import Clicks, Question, parse_clicks
from stages.shell.edge import reported_errors
from stages.shell.rules import ParamsError, check_known
from storage.head_files.shipped import shipped_heads
from storage.images.files import read_rgb
from storage.outputs.head_files import read_head_file

BAYESIAN: Final = typer.Option(
    "--bayesian", help="Also the entropies over views, clicks and models, and what they take."
)
EVERYTHING: Final = typer.Option(
    "--everything", help="Segment all there is, as SAM2's automatic mask generator."
)


def predict(  # noqa: PLR0913, PLR0917 - one for each option
    image: Annotated[Path, typer.Argument(help="Image file.")],
    click: Annotated[list[str] | None, typer.Option(help="X,Y on the object.")] = None,
    not_click: Annotated[list[str] | None, typer.Option(help="X,Y beside the object.")] = None,
    box: Annotated[str | None, typer.Option(help="X,Y,W,H around the object.")] = None,
    bayesian: Annotated[bool, BAYESIAN] = False,  # noqa: FBT002
    everything: Annotated[bool, EVERYTHING] = False,  # noqa: FBT002
    points_per_side: Annotated[
        int, typer.Option(min=1, help="Of --everything: clicks in a row of the grid.")
    ] = 32,
    min_score: Annotated[float, typer.Option(help="Of --everything: least SamScore.")] = 0.8,
    min_stability: Annotated[float, typer.Option(help="Of --everything: least stability.")] = 0.95,
    model: Annotated[str, typer.Option(help="tiny, small, base_plus or large.")] = "tiny",
    heads: Annotated[
        Path | None, typer.Option(help="File of `usam heads export`; names the family, too.")
    ] = None,
    good_iou: Annotated[float, typer.Option(help="Expected IoU that is enough.")] = GOOD_IOU,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,  # noqa: FBT002
    save: Annotated[Path | None, typer.Option(help="Folder for pictures.")] = None,
) -> None:
    """Segment an object, and say how wrong its mask may be and why; all clicks make one prompt."""
    with reported_errors():
        question = _question(image, model, heads, good_iou, save)
        clicks = parse_clicks(click or [], not_click or [], box, question.size_px)
        if everything:
            if click or not_click or box or bayesian:
                raise ParamsError(
                    "--everything must be given without a prompt or --bayesian, got one"
                )
            told = _everything(question, grid_options(points_per_side, min_score, min_stability))
        elif clicks is None:
            raise ParamsError(
                "a prompt must be given by --click X,Y or --box X,Y,W,H, or --everything, got none"
            )
        else:
            told = _prompt(question, clicks, with_bayesian=bayesian)
    _print(question, *told, as_json=as_json)


Told = tuple[dict[str, Any], str, list[Path]]
"""Values for programs, lines for people, and pictures."""


def _everything(question: Question, options: Mapping[str, Any]) -> Told:
    # Torch takes seconds to import, for which no error in the arguments should wait.
    from stages.predictor.answering import answer_everything  # noqa: PLC0415

    records, saved = answer_everything(question, options)
    return {"masks": records}, everything_lines(records, question.size_px), saved


def _prompt(question: Question, clicks: Clicks, *, with_bayesian: bool) -> Told:
    from stages.predictor.answering import answer_prompt  # noqa: PLC0415

    answer = answer_prompt(question, clicks, with_bayesian=with_bayesian)
    values, lines = values_told(answer.found), lines_told(answer.found)
    if answer.bayesian is not None:
        values["bayesian"] = bayesian_values(answer.bayesian, vars(answer.seconds))
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
    card = read_head_file(heads or shipped_heads()).card
    return Question(path, rgb, card["family"], model, card["protocol"], heads, good_iou, save)
