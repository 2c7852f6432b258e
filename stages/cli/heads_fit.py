"""``usam heads fit``: heads for a user's own images and model, without ``params.yaml`` or DVC."""

import re
from contextlib import chdir
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipeline.heads.scope import DRAWN_SHAPES
from pipeline.mask_choices import LEAST_IMAGES
from pipeline.sam.families import DRAWN
from stages.cli.columns import aligned
from stages.cli.doctor import DEFAULTS
from stages.executor.opened_cells import opened
from stages.page.labels import number
from stages.page.render import page_template
from stages.predictor import command_options
from stages.predictor.model_choice import OF_USERS, ModelChoice, default_family
from stages.program.main import reported_errors
from stages.settings.blocks import ExtractParams, Split
from stages.settings.parsing import check_known, parse
from stages.training.data import describe_images
from storage.errors import counted
from storage.folders import check_output, write_text
from storage.head_files.head_file import BEGINS, IMAGES, UNTESTED, HeadFile, write_head_file

if TYPE_CHECKING:
    from stages.own_heads import Figures

PAGE_BEGINS: Final = re.compile(rb"<!DOCTYPE html>\n<html lang=\"en\" class=\"own-heads\">")


def fit(  # noqa: PLR0913 - one for each option
    images: Annotated[Path, typer.Argument(help="Folder of images.")],
    annotations: Annotated[Path, typer.Argument(help="COCO file, or folder of masks.")],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="File of heads, *.safetensors.")],
    prompt: Annotated[str, typer.Option(help="What you will prompt with: click or box.")] = "click",
    objects: Annotated[
        str, typer.Option(help="In a folder of masks: binary, values or files.")
    ] = "binary",
    family: command_options.Family = None,
    model: Annotated[str | None, typer.Option(help="By default the family's smallest.")] = None,
    weights: command_options.Weights = None,
    device: command_options.Device = "auto",
) -> None:
    """Fit heads to your images, and say what they are worth on images held out from them.

    An interrupted run continues where it stopped: FILE.work keeps what was extracted. The page
    FILE.html has the same figures.
    """
    # Imported here: torch takes seconds, and --help does without.
    from stages import own_heads  # noqa: PLC0415

    with reported_errors():
        check_known("prompt", prompt, own_heads.PROMPTS)
        page = out.with_name(f"{out.name}.html")
        for path, begins in ((out, BEGINS), (page, PAGE_BEGINS)):
            check_output(path, begins, [annotations])
        location, name = _location(images, annotations, objects), images.resolve().name
        asked = command_options.ModelOptions(family, model, weights=weights, device=device)
        choice = asked.choose(images)
        extract, model = _settings(choice, weights), choice.model
        with chdir(_work(out)):
            prompts = own_heads.PROMPTS[prompt][1:]
            to_open = own_heads.extract_own(
                name, location, extract, models=[model], extra_prompts=prompts
            )
            fitted, figures, of_half = own_heads.fit_own(to_open, OF_USERS, prompt)
            described = describe_images(opened(to_open))
        is_drawn = default_family(images) == DRAWN
        entries = {IMAGES: DRAWN_SHAPES if is_drawn else f"images of {name}"} | _untested(fitted)
        heads = replace(fitted, card={**fitted.card, **entries}, training_images=described)
        write_head_file(out, heads)
        rows = [] if UNTESTED in entries else _rows(figures, of_half)
        sentences = _sentences(heads, figures, f"{choice.family} {model}, prompt {prompt}")
        template = page_template("own_heads.html.j2")
        write_text(page, template.render(title=out.name, rows=rows, sentences=sentences))
        print(*sentences, *([aligned(rows)] if rows else []), f"{out}, {page}", sep="\n")


def _settings(choice: ModelChoice, weights: Path | None) -> ExtractParams:
    """Settings of the extraction; ``weights`` is a file of the user, in place of the family's."""
    own = DEFAULTS["weights"] if weights is None else str(weights.absolute())
    settings = {"family": choice.family, "weights": own, "device": choice.device}
    # Smaller shards than by default: an interruption loses one at most.
    return parse("usam heads fit", DEFAULTS | settings | {"shard_objects": 128}, ExtractParams)


def _untested(heads: HeadFile) -> dict[str, str]:
    """Entry of the card of heads whose images are too few to say how good they are; else empty."""
    n_images = int(heads.card["n_images"])
    if n_images >= LEAST_IMAGES:
        return {}
    return {UNTESTED: f"untested heads: they had {n_images} images, a test takes {LEAST_IMAGES}"}


def _rows(figures: "Figures", of_half: "Figures") -> list[tuple[str, str, str]]:
    heading = ("in points (0.01), with 95 % intervals", "held-out images", "from half as many")
    return [heading, *((label, _text(figures[label]), _text(of_half[label])) for label in of_half)]


def _sentences(heads: HeadFile, figures: "Figures", made_for: str) -> list[str]:
    """Sentences about heads: what they learned from, how they were tested, and how to go on."""
    n_objects, n_images = (int(heads.card[key]) for key in ("n_objects", "n_images"))
    told = f"Heads for {made_for}: {counted(n_objects, 'object')} in {counted(n_images, 'image')}."
    if UNTESTED in heads.card:
        return [told, f"The file says so with each answer: {heads.card[UNTESTED]}."]
    from stages.own_heads import WORTH  # noqa: PLC0415 - as in fit

    worth = figures[WORTH]
    more = "More images would help" if worth[1] > 0 else "More images may or may not help"
    tested = (
        "Each fifth of the images was held out once: figures are of heads from the other four "
        "fifths, the file has heads from all. The task model is left out: it takes two models."
    )
    help_of_more = f"{more}: heads of half the images lose {_text(worth)} points of relative AUC."
    return [told, tested, help_of_more]


def _location(images: Path, annotations: Path, objects: str) -> Split:
    reader = {"reader": "masks", "objects": objects} if annotations.is_dir() else {"reader": "coco"}
    paths = {"images": str(images.absolute()), "annotations": str(annotations.absolute())}
    return parse("usam heads fit", reader | paths, Split)


def _work(out: Path) -> Path:
    """Make the folder of unfinished work beside the output; it finds downloaded weights."""
    folder, weights = out.with_name(f"{out.name}.work"), Path("checkpoints")
    folder.mkdir(exist_ok=True)
    if weights.is_dir() and not (folder / weights).exists():
        (folder / weights).symlink_to(weights.absolute())
    return folder


def _text(figure: tuple[float, float, float]) -> str:
    value, low, high = figure
    return number(value) if isnan(low) else f"{number(value)} ({number(low)} to {number(high)})"
