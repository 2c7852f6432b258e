"""``usam predict``: one object of one image, with the uncertainty of its masks."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from pipeline.predictor import PromptSet
from pipeline.predictor.advice import GOOD_IOU
from stages.cli.predicted import lines_told, values_told
from stages.predictor import load_predictor
from stages.predictor.pictures import save_pictures
from stages.shell.edge import reported_errors
from stages.shell.rules import ParamsError
from storage.errors import shown
from storage.head_files.files import read_head_file, shipped_heads
from storage.images.files import read_rgb

Click = tuple[float, float]

DEFAULT_FAMILY: Final = "mini"


def predict(  # noqa: PLR0913, PLR0917 - one for each option
    image: Annotated[Path, typer.Argument(help="Image file.")],
    click: Annotated[list[str] | None, typer.Option(help="X,Y on the object.")] = None,
    not_click: Annotated[list[str] | None, typer.Option(help="X,Y beside the object.")] = None,
    box: Annotated[str | None, typer.Option(help="X,Y,W,H around the object.")] = None,
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
        rgb = read_rgb(image)
        height, width = rgb.shape[:2]
        on = [_place("click", text, width, height) for text in click or ()]
        beside = [_place("not-click", text, width, height) for text in not_click or ()]
        around = None if box is None else _box(box, width, height)
        if not on and around is None:
            raise ParamsError("a prompt must be given by --click X,Y or --box X,Y,W,H, got none")
        card = read_head_file(heads or shipped_heads(DEFAULT_FAMILY)).card
        family, protocol = card["family"], card["protocol"]
        predictor = load_predictor(family, model, heads=heads, protocol=protocol)
        predictor.set_image(rgb)
        asked = PromptSet(*_labelled(on, beside), around)
        (found,) = predictor.predict_uncertainties([asked], good_iou=good_iou)
        saved = save_pictures(save, image.stem, rgb, found, on=on, beside=beside) if save else []
        about = {"image": str(image), "height_px": height, "width_px": width}
    if as_json:
        files = [str(path) for path in saved]
        model_told = {"family": family, "model": model}
        print(json.dumps(about | model_told | values_told(found) | {"saved": files}, indent=2))
        return
    print(f"{image}, {width} x {height} px, {family} {model}", lines_told(found), sep="\n\n")
    for path in saved:
        print(path)


def _labelled(
    on: Sequence[Click], beside: Sequence[Click]
) -> tuple[list[Click] | None, list[int] | None]:
    clicks = [*on, *beside]
    return (clicks, [1] * len(on) + [0] * len(beside)) if clicks else (None, None)


def _place(what: str, text: str, width: int, height: int) -> Click:
    x, y = _numbers(what, text, "X,Y")
    if not (0 <= x < width and 0 <= y < height):
        raise ParamsError(f"{what} must lie in the image of {width} x {height} px, got {text}")
    return x, y


def _box(text: str, width: int, height: int) -> list[float]:
    """Left, top, right and bottom."""
    x, y, w, h = _numbers("box", text, "X,Y,W,H")
    if not (x >= 0 and y >= 0 and w > 0 and h > 0 and x + w <= width and y + h <= height):
        raise ParamsError(f"box must lie in the image of {width} x {height} px, got {text}")
    return [x, y, x + w, y + h]


def _numbers(what: str, text: str, form: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != len(form.split(",")):
        raise ParamsError(f"{what} must be {form} in pixels, got {shown(text)}")
    return values
