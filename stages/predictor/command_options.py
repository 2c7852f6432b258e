"""Options of commands that predict: declared once, checked, and turned into models and prompts."""

import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer

from pipeline.heads.scope import DRAWN_ONLY, ChoiceGain
from pipeline.predictor.prompt_sets import (
    BOX_ORDER,
    DecoderPrompts,
    PromptSet,
    check_box,
    check_clicks,
    parse_one,
)
from pipeline.prompt_kinds import PromptError
from pipeline.sam.families import DRAWN, EMBEDDED, FAMILIES, PHOTOGRAPHS, models_of
from stages.predictor.model_choice import (
    DEVICES,
    PRECISIONS,
    ModelChoice,
    default_family,
    usual_heads,
)
from stages.predictor.stored_images import signature_of
from stages.settings.parsing import ParamsError, check_known
from storage.checkpoints.weights import FILE, check_there, checkpoint
from storage.datasets.coco import USABLE, PromptedImage, read_prompts
from storage.errors import DataError, counted, shown
from storage.head_files.head_file import read_head_file

Family = Annotated[
    str | None,
    typer.Option(help="mini, mini-photos, or a fetched one; see docs/models.md."),
]
Model = Annotated[
    str | None, typer.Option(help="Model; by default the smallest that the heads know.")
]
Heads = Annotated[
    Path | None, typer.Option(metavar="FILE", help="From `usam heads export`; sets the family.")
]
Weights = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Your own weights of the model, in place of the family's."),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Precision = Annotated[
    str | None, typer.Option(help="fp32 or bf16; by default, as the heads learned.")
]
Embeddings = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATH",
        help="From `usam encode`: its images are not encoded again; may be repeated.",
    ),
]
Host = Annotated[
    str, typer.Option(help="Address; others than loopback let other machines in, with a token.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes any free port.")]


NOTE: Final = f"note: {DRAWN_ONLY}; for photographs, use --family {PHOTOGRAPHS}"
"""Note that commands print where a user has chosen mini for photographs."""


@dataclass(frozen=True)
class ModelOptions:
    """Options of all that predicts: the model, its heads, and what it runs on."""

    family: Family = None
    """By default, the family of ``heads``, else of the first of ``embeddings``, else
    ``default_family`` of the images."""
    model: Model = None
    """By default, the model of the first of ``embeddings``, else the smallest model that the heads
    learned from; without heads, the smallest of the family."""
    heads: Heads = None
    """Head file: by default, the file of the family's heads, if it is there and they learned from
    the weights."""
    weights: Weights = None
    """File whose weights replace those of the family."""
    device: Device = "auto"
    precision: Precision = None
    """By default, that of the features that the heads learned from; ``fp32`` without heads."""
    embeddings: Embeddings = None
    """Stores of embeddings of images, which are not encoded again. Only the first is opened here.
    """

    def choose(self, images: Path | None = None) -> ModelChoice:
        """Choose a model and heads, without loading the model.

        ``images`` is the image, or the folder of images, to answer prompts about.

        Raises
        ------
        ParamsError
            If the family, device or precision is unknown, or the heads did not learn from the
            model.
        WeightsError
            If ``weights`` or ``heads`` is no file, or heads are damaged.
        """
        signature = signature_of(self.embeddings[0]) if self.embeddings else {}
        model = self.model or signature.get("model")
        weights = FILE if self.weights is None else str(self.weights)
        if self.heads is None:
            family = self.family or signature.get("family") or default_family(images)
            check_known("family", family, FAMILIES)
            path, file = usual_heads(family, model, weights)
        else:
            path, file = Path(self.heads), read_head_file(Path(self.heads))
            family = self.family or file.card["family"]
            check_known("family", family, FAMILIES)
        check_known("device", self.device, DEVICES)
        models = models_of(family) if path is None else file.models
        model = model or models[0]
        check_known("model", model, models)
        check_there(checkpoint(family, model, weights))
        precision = self.precision or file.card.get("precision", "fp32")
        check_known("precision", precision, PRECISIONS)
        return ModelChoice(
            family,
            model,
            path,
            file,
            self.device,
            cast("Any", precision),
            tuple(self.embeddings or ()),
            weights,
        )

    def choose_for(self, images: Path) -> ModelChoice:
        """Choose as ``choose`` does; notes on stderr say what a command then cannot say.

        They are about a family without heads, and about photographs for a family that knows drawn
        shapes alone.
        """
        choice = self.choose(images)
        if choice.no_heads:
            print(f"note: {choice.no_heads}", file=sys.stderr)
        if choice.family == DRAWN != default_family(images):
            print(NOTE, file=sys.stderr)
        return choice


MAX_POINTS: Final = 1000
"""Largest number of clicks in a row of a grid; a grid of a million clicks takes hours."""

GRID: Final = {"points_per_side": 32, "min_score": 0.8, "min_stability": 0.95}
"""Options of a grid -> their defaults, which are SAM2's."""

GRID_OF_MINI: Final = {"points_per_side": 16, "min_score": 0.4, "min_stability": 0.6}
"""Defaults of the ``EMBEDDED`` families, whose masks hardly reach SAM2's thresholds."""


@dataclass(frozen=True)
class GridOptions:
    """Options of commands that segment everything; None stands for the default in ``GRID``."""

    points_per_side: Annotated[
        int | None,
        typer.Option(
            help="For everything: clicks per row of the grid; 32 by default, 16 of mini models."
        ),
    ] = None
    min_score: Annotated[
        float | None,
        typer.Option(
            help="For everything: lowest SamScore to keep; 0.8 by default, 0.4 of mini models."
        ),
    ] = None
    min_stability: Annotated[
        float | None,
        typer.Option(
            help="For everything: lowest stability to keep; 0.95 by default, 0.6 of mini models."
        ),
    ] = None

    def of_generator(self, family: str, lacking: str = "") -> dict[str, Any]:
        """The options, or a family's defaults, as arguments of SAM2's automatic mask generator.

        An option that is out of range is a ``ParamsError``. Without a grid, for want of the option
        ``lacking``, there are no arguments, and any option is refused.
        """
        options = {name: value for name, value in vars(self).items() if value is not None}
        if lacking:
            for name, number in options.items():
                option = name.replace("_", "-")
                raise ParamsError(f"{option} must come with {lacking}, got {number:g} without it")
            return {}
        grid: dict[str, Any] = {**(GRID_OF_MINI if family in EMBEDDED else GRID), **options}
        points_per_side = grid["points_per_side"]
        if not 1 <= points_per_side <= MAX_POINTS:
            raise ParamsError(
                f"points-per-side must be a whole number from 1 to {MAX_POINTS}, got "
                f"{points_per_side}"
            )
        check_share("min-score", grid["min_score"])
        check_share("min-stability", grid["min_stability"])
        return {
            "points_per_side": points_per_side,
            "pred_iou_thresh": grid["min_score"],
            "stability_score_thresh": grid["min_stability"],
        }


def with_records(command: Callable[..., None]) -> Callable[..., None]:
    """Make a Typer command whose parameters may be records, such as ``ModelOptions``.

    The command line has an option for each field of a record; ``command`` is called with the
    record. So options that several commands share are declared once, as the fields of a record.
    """
    signature = inspect.signature(command)
    records = {
        name: inspect.signature(parameter.annotation).parameters
        for name, parameter in signature.parameters.items()
        if isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation)
    }

    @wraps(command)
    def flat(**options: Any) -> None:  # noqa: ANN401 - of each option's type
        for name, names in records.items():
            record = signature.parameters[name].annotation
            options[name] = record(**{option: options.pop(option) for option in names})
        command(**options)

    flat.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[
            option.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name, parameter in signature.parameters.items()
            for option in (records[name].values() if name in records else [parameter])
        ]
    )
    return flat


SELECTED: Final = "selected"

BEST: Final = "best"

MASKS: Final = (SELECTED, BEST)
"""Masks that commands can give: the selected mask, or the mask with the highest expected IoU."""


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
    """Read the prompts of a COCO file, and print how many annotations have none.

    They are checked before a run that may take hours. ``kind`` is one of ``COCO_PROMPTS``.

    Raises
    ------
    DataError
        If ``read_prompts`` refuses the file, or a predictor would refuse a prompt: the message then
        names the file and the annotation.
    """
    images, n_left_out = read_prompts(path, kind)
    check_prompts(path, images)
    if n_left_out:
        annotations = counted(n_left_out, "annotation")
        print(f"note: {annotations} left out: no {USABLE[kind]}", file=sys.stderr)
    return images


def check_prompts(path: Path, images: Iterable[PromptedImage]) -> None:
    """Raise a DataError, which names the annotation, for a prompt that a predictor would refuse."""
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


def _numbers(option: str, text: str, form: str) -> tuple[float, ...]:
    try:
        values = tuple(map(float, text.split(",")))
    except ValueError:
        values = ()
    if len(values) != len(form.split(",")):
        raise ParamsError(f"{option} must be {form} in pixels, got {shown(text)}")
    return values
