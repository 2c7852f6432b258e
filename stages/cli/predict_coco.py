"""``usam predict-coco``: images and a COCO file of prompts in, COCO results or a data set out."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from stages.cli.predict import Heads, MinScore, MinStability, Model, PointsPerSide
from stages.predictor.photographs import NOTE
from stages.predictor.prompts import Grid, check_no_grid, check_prompts, grid_options
from stages.program.main import reported_errors
from stages.program.progress import progress
from stages.settings.parsing import ParamsError, check_known
from storage.checkpoints.weights import checkpoint
from storage.datasets.coco import (
    EVERYTHING,
    EVERYTHING_CATEGORIES,
    KINDS,
    PromptedImage,
    read_categories,
    read_prompts,
)
from storage.errors import DataError, counted, listed, printable, shown
from storage.folders import sha256_file
from storage.head_files.head_file import SHIPPED_FAMILY, read_head_file, shipped_heads
from storage.outputs.coco_results import (
    LOWEST_FIRST,
    KeptResults,
    Results,
    coco_dataset,
    sort_results,
    write_json,
)

if TYPE_CHECKING:
    from stages.predictor.results import Answer


Images = Annotated[Path, typer.Argument(help="Folder of the images.")]
Annotations = Annotated[Path, typer.Argument(help="COCO file of boxes or keypoints.")]
ResultsFile = Annotated[Path, typer.Argument(help="COCO file to write.")]
Prompt = Annotated[
    str, typer.Option(help="box (bbox), clicks (keypoints), or everything, without prompts.")
]
Form = Annotated[
    str,
    typer.Option(
        "--format",
        help="results, a list for loadRes of pycocotools; or dataset, for annotation tools.",
    ),
]
Sort = Annotated[
    str | None,
    typer.Option(help=f"Put the masks to look at first at the top, by {', '.join(LOWEST_FIRST)}."),
]

DATASET: Final = "dataset"

FORMS: Final = ("results", DATASET)


@dataclass(frozen=True)
class Output:
    """The file to write."""

    path: Path
    images: Sequence[PromptedImage]
    sort: str | None
    categories: Mapping[int, str] | None
    """Names by id, for a data set; None for a list of results."""

    def write(self, results: Results) -> int:
        """Write the file; return how many masks it has."""
        if self.sort:
            results = sort_results(results, self.sort)
        if self.categories is None:
            write_json(self.path, results)
            return len(results)
        images = [
            {
                "id": one.image_id,
                "file_name": one.image.file,
                "height": one.image.height_px,
                "width": one.image.width_px,
            }
            for one in self.images
        ]
        dataset = coco_dataset(images, results, self.categories)
        write_json(self.path, dataset)
        return len(dataset["annotations"])


def predict_coco(  # noqa: PLR0913, PLR0917 - one for each option
    images: Images,
    annotations: Annotations,
    results: ResultsFile,
    prompt: Prompt = "box",
    points_per_side: PointsPerSide = None,
    min_score: MinScore = None,
    min_stability: MinStability = None,
    model: Model = None,
    heads: Heads = None,
    form: Form = "results",
    sort: Sort = None,
) -> None:
    """Segment the objects of a COCO file, or everything in a folder.

    An interrupted run continues where it stopped; unreadable images are named at the end.
    """
    with reported_errors():
        _check_words(prompt, form, sort)
        _check_paths(images, annotations, results)
        todo = read_prompts(annotations, prompt)
        check_prompts(annotations, todo)
        output = Output(results, todo, sort, _categories(annotations, prompt, todo, form))
        options = _options(prompt, (points_per_side, min_score, min_stability))
        path = heads or shipped_heads()
        file = read_head_file(path)
        card, model = file.card, model or file.models[0]
        made_from = {
            "annotations": sha256_file(annotations),
            "images": str(images.resolve()),
            "heads": card["sha256"],
            "weights": checkpoint(card["family"], model).sha256 or "not listed",
            "prompt": f"{prompt} {options}",
        }
        answer = _answer(path, card["family"], model, options)
        _answer_all(answer, images, KeptResults(results, made_from), output)


def _check_words(prompt: str, form: str, sort: str | None) -> None:
    check_known("prompt", prompt, KINDS)
    check_known("format", form, FORMS)
    if sort is not None:
        check_known("sort", sort, LOWEST_FIRST)


def _categories(
    annotations: Path, prompt: str, images: Sequence[PromptedImage], form: str
) -> Mapping[int, str] | None:
    """Names of the categories of a data set, for which images must have numbers."""
    if form != DATASET:
        return None
    for one in images:
        if not isinstance(one.image_id, int):
            raise DataError(
                f"{annotations}: ids of images must be integers for --format {DATASET}, "
                f"got {shown(one.image_id)}"
            )
    return EVERYTHING_CATEGORIES if prompt == EVERYTHING else read_categories(annotations)


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


def _answer_all(answer: "Answer", images: Path, kept: KeptResults, output: Output) -> None:
    """Write the results of all readable images; name the others."""
    # Imports torch.
    from stages.predictor.results import answer_images  # noqa: PLC0415

    todo = output.images
    with progress(f"predict {printable(str(images))}", len(todo), "images") as advance:
        faults = answer_images(answer, images, todo, kept, advance)
    n_results = output.write(kept.results_of([one.image_id for one in todo]))
    n_read = len(todo) - len(faults)
    print(
        f"{printable(str(output.path))}: {counted(n_results, 'mask')} in {counted(n_read, 'image')}"
    )
    if faults:
        raise DataError(
            f"{len(faults)} of {counted(len(todo), 'image')} left out, fix or replace them and run "
            f"again: {listed(faults)}"
        )
    kept.forget()


def _answer(path: Path, family: str, model: str, options: Mapping[str, Any]) -> "Answer":
    """Function that answers an image: all objects if the options ask for that, else its prompts."""
    if family == SHIPPED_FAMILY:
        print(NOTE, file=sys.stderr)
    # Imported late: torch takes seconds, and errors in the arguments should show at once.
    from stages.predictor.loading import load_by_heads  # noqa: PLC0415
    from stages.predictor.results import everything_answers, prompt_answers  # noqa: PLC0415

    predictor = load_by_heads(family, model, path)
    return everything_answers(predictor, options) if options else prompt_answers(predictor)
