"""What the page sends about an image, checked."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.predictor import PromptSet
from pipeline.vocabulary import N_PROPOSALS
from stages.predictor.questions import check_box, check_click
from stages.shell.parsing import ParamsError

MOST_CLICKS: Final = 100

Pixels = Annotated[float, Field(allow_inf_nan=False)]


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Click(_Sent):
    """A click, in pixels of the image."""

    x: Pixels
    y: Pixels
    label: Literal[0, 1]
    """1 on the object, 0 beside it."""


class Question(_Sent):
    """A prompt about an open image, and who is to answer it."""

    model: str
    heads: str
    clicks: Annotated[tuple[Click, ...], Field(max_length=MOST_CLICKS)] = ()
    box: tuple[Pixels, Pixels, Pixels, Pixels] | None = None
    """Left, top, right, bottom."""
    proposal: Annotated[int, Field(ge=0, lt=N_PROPOSALS)] = 0
    """Which one to download."""
    file_name: Annotated[str, Field(max_length=255)] = ""
    """Of the image, for the downloaded file; nothing is opened by it."""


def parse_question(data: bytes) -> Question:
    """A question as the page sends it.

    Raises
    ------
    ParamsError
        If it is another.
    """
    try:
        return Question.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "question"
        raise ParamsError(f"{place} must be as the page sends it, got: {first['msg']}") from error


def prompt_of(question: Question, height_px: int, width_px: int) -> PromptSet:
    """The prompt of a question.

    Raises
    ------
    ParamsError
        If it has neither a click on the object nor a box, or lies outside of the image.
    """
    clicks, box = question.clicks, question.box
    if box is None and not any(click.label for click in clicks):
        raise ParamsError("prompt must have a click on the object or a box, got neither")
    size_px = height_px, width_px
    for click in clicks:
        check_click("click", (click.x, click.y), size_px)
    if box is not None:
        check_box(box, size_px, told=",".join(f"{side:g}" for side in box))
    corners = None if box is None else list(box)
    if not clicks:
        return PromptSet(box=corners)
    return PromptSet([[c.x, c.y] for c in clicks], [c.label for c in clicks], corners)
