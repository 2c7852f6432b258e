"""``usam predict-coco``: a folder of images and a COCO file of prompts in, COCO results out."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stages.cli.predict import Heads, MinScore, MinStability, Model, PointsPerSide
from stages.predictor.photographs import NOTE
from stages.predictor.prompts import Grid, check_no_grid, check_prompts, grid_options
from stages.program.main import reported_errors
from stages.program.progress import progress
from stages.settings.parsing import ParamsError, check_known
from storage.checkpoints.weights import checkpoint
from storage.datasets.coco import EVERYTHING, KINDS, PromptedImage, read_prompts
from storage.errors import DataError, counted, listed, printable
from storage.folders import sha256_file
from storage.head_files.head_file import SHIPPED_FAMILY, read_head_file, shipped_heads
from storage.outputs.coco_results import KeptResults

if TYPE_CHECKING:
    from stages.predictor.results import Answer


Images = Annotated[Path, typer.Argument(help="Folder of the images.")]
Annotations = Annotated[Path, typer.Argument(help="COCO file of boxes or keypoints.")]
ResultsFile = Annotated[Path, typer.Argument(help="COCO results file to write.")]
Prompt = Annotated[
    str, typer.Option(help="box (bbox), clicks (keypoints), or everything, without prompts.")
]


def predict_coco(  # noqa: PLR0913, PLR0917 - one for each option
    images: Images,
    annotations: Annotations,
    results: ResultsFile,
    prompt: Prompt = "box",
    points_per_side: PointsPerSide = None,
    min_score: MinScore = None,
    min_stability: MinStability = None,
    model: Model = "tiny",
    heads: Heads = None,
) -> None:
    """Segment every annotated object, or everything, with the uncertainty of each mask.

    An interrupted run continues where it stopped; unreadable images are named at the end.
    """
    with reported_errors():
        check_known("prompt", prompt, KINDS)
        _check_paths(images, annotations, results)
        todo = read_prompts(annotations, prompt)
        check_prompts(annotations, todo)
        path = heads or shipped_heads()
        card = read_head_file(path).card
        options = _options(prompt, (points_per_side, min_score, min_stability))
        made_from = {
            "annotations": sha256_file(annotations),
            "images": str(images.resolve()),
            "heads": card["sha256"],
            "weights": checkpoint(card["family"], model).sha256 or "not listed",
            "prompt": prompt,
            **{name: str(value) for name, value in options.items()},
        }
        if card["family"] == SHIPPED_FAMILY:
            print(NOTE, file=sys.stderr)
        answer = _answer(path, card, model, options)
        kept = KeptResults(results, made_from)
        _answer_all(answer, images, todo, kept, results)


def _options(prompt: str, grid: Grid) -> dict[str, Any]:
    if prompt == EVERYTHING:
        return grid_options(grid)
    check_no_grid(grid, f"--prompt {EVERYTHING}")
    return {}


def _check_paths(images: Path, annotations: Path, results: Path) -> None:
    """Refuse unusable paths before a run of hours, not after it."""
    if not images.is_dir():
        raise ParamsError(f"images must be in a folder, got none at {images}")
    if results.is_dir():
        raise ParamsError(f"results must go to a file, got the folder {results}")
    if results.exists() and annotations.exists() and results.samefile(annotations):
        raise ParamsError(f"results must go to a file of their own, got the annotations {results}")


def _answer_all(
    answer: "Answer", images: Path, todo: Sequence[PromptedImage], kept: KeptResults, results: Path
) -> None:
    """Write the results of all readable images; name the others."""
    # Imports torch.
    from stages.predictor.results import answer_images  # noqa: PLC0415

    with progress(f"predict {printable(str(images))}", len(todo), "images") as advance:
        faults = answer_images(answer, images, todo, kept, advance)
    n_results = kept.write(results, [one.image_id for one in todo])
    n_read = len(todo) - len(faults)
    print(f"{printable(str(results))}: {counted(n_results, 'mask')} in {counted(n_read, 'image')}")
    if faults:
        raise DataError(
            f"{len(faults)} of {counted(len(todo), 'image')} left out, fix or replace them and run "
            f"again: {listed(faults)}"
        )
    kept.forget()


def _answer(
    path: Path, card: Mapping[str, str], model: str, options: Mapping[str, Any]
) -> "Answer":
    """Function that answers an image: all objects if the options ask for that, else its prompts."""
    # Imported late: torch takes seconds, and errors in the arguments should show at once.
    from stages.predictor import load_predictor  # noqa: PLC0415
    from stages.predictor.results import everything_answers, prompt_answers  # noqa: PLC0415

    predictor = load_predictor(card["family"], model, heads=path, protocol=card["protocol"])
    return everything_answers(predictor, options) if options else prompt_answers(predictor)
