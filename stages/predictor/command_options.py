"""Options of the commands that predict: clicks, boxes, costs and grids, checked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.predictor.advice import Costs
from pipeline.predictor.prompt_sets import BOX_ORDER, PromptSet, check_box, check_clicks, parse_one
from pipeline.prompt_kinds import PromptError
from stages.predictor.model_choice import ModelChoice
from stages.settings.parsing import ParamsError
from storage.datasets.coco import PromptedImage
from storage.errors import DataError, shown

MAX_POINTS: Final = 1000
"""Largest number of clicks in a row of a grid: a million clicks in all, which take hours."""

Grid = tuple[int | None, float | None, float | None]
"""Clicks in a row, lowest SamScore and lowest stability; None is the default of each."""

GRID: Final = {"points-per-side": 32, "min-score": 0.8, "min-stability": 0.95}
"""Options of a grid, and their defaults, which are SAM2's."""


@dataclass(frozen=True)
class Question:
    """An image, and the model and heads that answer."""

    path: Path
    rgb: np.ndarray
    choice: ModelChoice
    costs: Costs
    save: Path | None
    """Folder for pictures."""

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.rgb.shape[:2]
        return height, width


def parse_clicks(
    on: Sequence[str], beside: Sequence[str], box: str | None, size_px: tuple[int, int]
) -> PromptSet:
    """Prompt set of texts: ``X,Y`` for clicks and ``LEFT,TOP,RIGHT,BOTTOM`` for the box.

    Raises
    ------
    ParamsError
        If there is no prompt, or a text has another form.
    PromptError
        If a predictor would refuse the prompt.
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
    prompt = PromptSet(clicks or None, labels or None, corners)
    parse_one(prompt, size_px)
    return prompt


def check_prompts(path: Path, images: Iterable[PromptedImage]) -> None:
    """Refuse prompts of a COCO file that a predictor would refuse, before a run of hours.

    Raises
    ------
    DataError
        Names the file and the annotation.
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
    """Costs of corrections, in IoU.

    Raises
    ------
    ParamsError
        If a cost is not from 0 to 1.
    """
    try:
        return Costs(click, larger_model, person)
    except ValueError as error:
        raise ParamsError(str(error)) from error


def grid_options(grid: Grid) -> dict[str, Any]:
    """Options of ``--everything``, as SAM2's generator of masks names them.

    Raises
    ------
    ParamsError
        If an option is out of range.
    """
    points_per_side, min_score, min_stability = (
        default if option is None else option
        for option, default in zip(grid, GRID.values(), strict=True)
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


def check_no_grid(grid: Grid, everything: str) -> None:
    """Refuse options of a grid where nothing reads them.

    Parameters
    ----------
    everything
        The option that grids belong to.
    """
    for name, number in zip(GRID, grid, strict=True):
        if number is not None:
            raise ParamsError(f"{name} must come with {everything}, got {number:g} without it")


def check_share(name: str, share: float) -> None:
    """Refuse a value outside [0, 1]."""
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
