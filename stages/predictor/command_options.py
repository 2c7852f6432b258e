"""Prompts from the command line and from COCO files: clicks, boxes and grids, checked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.predictor.advice import Costs
from pipeline.predictor.prompt_sets import BOX_ORDER, PromptSet, check_box, check_clicks, parse_one
from pipeline.prompt_kinds import PromptError
from stages.settings.parsing import ParamsError
from storage.datasets.coco import PromptedImage
from storage.errors import DataError, shown

MAX_POINTS: Final = 1000
"""Most clicks in a row of a grid: a million, which take hours."""

Grid = tuple[int | None, float | None, float | None]
"""Clicks in a row, least SamScore and least stability; None is the default of each."""

GRID: Final = {"points-per-side": 32, "min-score": 0.8, "min-stability": 0.95}
"""Their options, and their defaults, which are SAM2's."""


@dataclass(frozen=True)
class Question:
    """An image, and the model and heads that answer."""

    path: Path
    rgb: np.ndarray
    model: str
    heads: Path
    card: Mapping[str, str]
    """That of the heads."""
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
    """The prompt that texts make, ``X,Y`` for clicks and ``LEFT,TOP,RIGHT,BOTTOM`` for the box.

    Raises
    ------
    ParamsError
        If there is none, or a text has another form.
    PromptError
        If a predictor would refuse it.
    """
    if not (on or beside or box is not None):
        raise ParamsError(
            f"a prompt must be given by --click X,Y or --box {BOX_ORDER}, or --everything, got none"
        )
    clicks = [
        list(_numbers(what, text, "X,Y"))
        for what, texts in (("click", on), ("not-click", beside))
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
        Naming the file and the annotation.
    """
    for one in images:
        size_px = one.image.height_px, one.image.width_px
        for prompt in one.prompts:
            try:
                check_clicks(prompt.clicks, size_px)
                if prompt.box is not None:
                    check_box(prompt.box, size_px)
            except PromptError as error:
                what = f"annotation {prompt.annotation_id} of {one.image.file}"
                raise DataError(f"{path}: {what}: {error}") from error


def parse_costs(click: float, larger_model: float, person: float) -> Costs:
    """Costs of corrections, in IoU.

    Raises
    ------
    ParamsError
        If one is not from 0 to 1.
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
        If one is out of range.
    """
    points_per_side, min_score, min_stability = (
        default if given is None else given
        for given, default in zip(grid, GRID.values(), strict=True)
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


def check_no_grid(grid: Grid, needed: str) -> None:
    """Refuse options of a grid where nothing reads them.

    Parameters
    ----------
    needed
        The option that they come with.
    """
    for name, given in zip(GRID, grid, strict=True):
        if given is not None:
            raise ParamsError(f"{name} must come with {needed}, got {given:g} without it")


def check_share(what: str, share: float) -> None:
    """Refuse a value outside [0, 1]."""
    if not 0 <= share <= 1:
        raise ParamsError(f"{what} must be a number from 0 to 1, got {share:g}")


def _numbers(what: str, text: str, form: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != len(form.split(",")):
        raise ParamsError(f"{what} must be {form} in pixels, got {shown(text)}")
    return values
