"""Parses and checks options of the commands that predict: clicks, boxes, costs and grids."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.heads.scope import ChoiceGain
from pipeline.predictor.advice import Costs
from pipeline.predictor.prompt_sets import (
    BOX_ORDER,
    DecoderPrompts,
    PromptSet,
    check_box,
    check_clicks,
    parse_one,
)
from pipeline.prompt_kinds import PromptError
from pipeline.sam.families import DRAWN, PHOTOGRAPHS
from stages.predictor.model_choice import ModelChoice
from stages.settings.parsing import ParamsError, check_known
from storage.datasets.coco import USABLE, PromptedImage, read_prompts
from storage.errors import DataError, counted, shown

MAX_POINTS: Final = 1000
"""Largest number of clicks in a row of a grid; a grid of a million clicks takes hours."""

GRID: Final = {"points_per_side": 32, "min_score": 0.8, "min_stability": 0.95}
"""Options of a grid -> their defaults, which are SAM2's."""

GRID_OF: Final = {
    family: {"points_per_side": 16, "min_score": 0.4, "min_stability": 0.6}
    for family in (DRAWN, PHOTOGRAPHS)
}
"""Defaults of the small families, whose masks hardly reach SAM2's thresholds."""

SELECTED: Final = "selected"

BEST: Final = "best"

MASKS: Final = (SELECTED, BEST)
"""Masks that commands can give: the selected mask, or the mask with the highest expected IoU."""


PICTURES: Final = ("mask", "overlay", "entropy", "everything")
"""Kinds of pictures to save, which their names end with."""

SOFTWARE: Final = "usam-cache"
"""What saved pictures name as their maker."""

PNG_BEGINS: Final = re.compile(rb"(?s)\x89PNG.{33}tEXtSoftware\0" + SOFTWARE.encode())
"""First bytes of a saved picture: signature and header, then its maker (PNG 1.2, 11.3.4)."""


@dataclass(frozen=True)
class Question:
    """An image to predict masks for, the model and heads to use, and costs of corrections."""

    path: Path
    """File of the image; pictures are named after it."""
    rgb: np.ndarray
    choice: ModelChoice
    costs: Costs
    save: Path | None
    """Folder to write pictures to; None for no pictures."""
    masks: str
    """The mask of the pictures, one of ``MASKS``."""

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of the image."""
        height, width = self.rgb.shape[:2]
        return height, width

    def picture_path(self, kind: str) -> Path:
        """Path of a picture to save, one of ``PICTURES``."""
        return (self.save or Path()) / f"{self.path.stem}-{kind}.png"


def parse_clicks(
    on: Sequence[str], beside: Sequence[str], box: str | None, size_px: tuple[int, int]
) -> DecoderPrompts:
    """Parse a prompt set from texts: ``X,Y`` for clicks, ``LEFT,TOP,RIGHT,BOTTOM`` for the box.

    ``on`` and ``beside`` are clicks on the object and beside it; ``size_px`` is the height and
    width of the image.

    Raises
    ------
    ParamsError
        If there is neither a click nor a box, or a text has another form.
    PromptError
        If a predictor would refuse the prompt, as for a click outside of the image.
    """
    if not (on or beside or box is not None):
        raise ParamsError(
            f"a prompt must be given by --click X,Y or --box {BOX_ORDER}, or --everything, got none"
        )
    clicks = [
        list(_numbers(option, text, "X,Y"))
        for option, texts in (("click", on), ("not-click", beside))
        for text in texts
    ]
    labels = [1] * len(on) + [0] * len(beside)
    corners = None if box is None else list(_numbers("box", box, BOX_ORDER))
    return parse_one(PromptSet(clicks or None, labels or None, corners), size_px)


def read_checked_prompts(path: Path, kind: str) -> list[PromptedImage]:
    """Read the prompts of a COCO file, check them, and print how many annotations have none.

    ``kind`` is one of ``COCO_PROMPTS``.

    Raises
    ------
    DataError
        If ``read_prompts`` or ``check_prompts`` refuses the file.
    """
    images, n_left_out = read_prompts(path, kind)
    check_prompts(path, images)
    if n_left_out:
        annotations = counted(n_left_out, "annotation")
        print(f"note: {annotations} left out: no {USABLE[kind]}", file=sys.stderr)
    return images


def check_prompts(path: Path, images: Iterable[PromptedImage]) -> None:
    """Check the prompts of a COCO file, before a run that may take hours.

    Raises
    ------
    DataError
        If a predictor would refuse a prompt; the message names the file and the annotation.
    """
    for image in images:
        size_px = image.image.height_px, image.image.width_px
        for prompt in image.prompts:
            try:
                check_clicks(prompt.clicks, size_px)
                if prompt.box is not None:
                    check_box(prompt.box, size_px)
            except PromptError as error:
                annotation = f"annotation {prompt.annotation_id} of {image.image.file}"
                raise DataError(f"{path}: {annotation}: {error}") from error


def parse_costs(click: float, larger_model: float, person: float) -> Costs:
    """Make the costs of corrections, in units of IoU, from options of a command.

    They are the costs of clicking again, of asking the large model, and of a person who draws the
    mask; a cost outside [0, 1] is a ``ParamsError``.
    """
    try:
        return Costs(click, larger_model, person)
    except ValueError as error:
        raise ParamsError(str(error)) from error


def grid_options(
    grid: Mapping[str, Any], everything: str, *, is_everything: bool, family: str
) -> dict[str, Any]:
    """Convert the options of a grid to keyword arguments of SAM2's automatic mask generator.

    ``grid`` has the options by the names in ``GRID``, None for the family's default. Without
    ``is_everything`` there is no grid: the result is empty, and a set option is refused.
    ``everything`` is the name of the option that asks for a grid, for this error message.

    Raises
    ------
    ParamsError
        If an option is out of range, or is given without a grid.
    """
    if not is_everything:
        for name, number in grid.items():
            if number is not None:
                option = name.replace("_", "-")
                raise ParamsError(
                    f"{option} must come with {everything}, got {number:g} without it"
                )
        return {}
    points_per_side, min_score, min_stability = (
        default if grid[name] is None else grid[name]
        for name, default in GRID_OF.get(family, GRID).items()
    )
    if not 1 <= points_per_side <= MAX_POINTS:
        raise ParamsError(
            f"points-per-side must be a whole number from 1 to {MAX_POINTS}, got {points_per_side}"
        )
    check_share("min-score", min_score)
    check_share("min-stability", min_stability)
    return {
        "points_per_side": points_per_side,
        "pred_iou_thresh": min_score,
        "stability_score_thresh": min_stability,
    }


def check_masks(masks: str, choices: Sequence[ChoiceGain]) -> None:
    """Refuse ``best`` masks where no heads choose a mask: they would be the selected masks.

    ``choices`` are the gains of the heads' choice of masks, empty for heads that do not choose.
    """
    check_known("masks", masks, MASKS)
    if masks == BEST and not choices:
        raise ParamsError("heads must choose among masks to give the best, got none that do")


def check_share(name: str, share: float) -> None:
    """Raise ParamsError, which names the option, if its number lies outside [0, 1]."""
    if not 0 <= share <= 1:
        raise ParamsError(f"{name} must be a number from 0 to 1, got {share:g}")


def _numbers(option: str, text: str, form: str) -> tuple[float, ...]:
    try:
        values = tuple(float(number) for number in text.split(","))
    except ValueError:
        values = ()
    if len(values) != len(form.split(",")):
        raise ParamsError(f"{option} must be {form} in pixels, got {shown(text)}")
    return values
