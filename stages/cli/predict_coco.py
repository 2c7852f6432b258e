"""``usam predict-coco``: images and a COCO file of prompts in, COCO results or a data set out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from stages.predictor.command_options import (
    BEST,
    SELECTED,
    GridOptions,
    ModelOptions,
    check_masks,
    read_checked_prompts,
    with_records,
)
from stages.program.main import reported_errors
from stages.program.stopping import stoppable
from stages.settings.parsing import ParamsError, check_known
from storage.datasets import coco
from storage.errors import N_LISTED, DataError, counted, listed, printable, shown
from storage.folders import check_output, sha256_file, whole_file, write_lines
from storage.outputs import coco_results
from storage.outputs.coco_results import KeptResults

Images = Annotated[Path, typer.Argument(help="Folder of the images.")]
Annotations = Annotated[Path, typer.Argument(help="COCO file of boxes or keypoints.")]
ResultsFile = Annotated[Path, typer.Argument(help="COCO file to write.")]
Prompt = Annotated[
    str, typer.Option(help="box (bbox), clicks (keypoints), everything or overlooked.")
]
Form = Annotated[
    str,
    typer.Option(
        "--format",
        help="results, a list for loadRes of pycocotools; or dataset, for annotation tools.",
    ),
]
Masks = Annotated[
    str, typer.Option(help="selected, by SAM2; or best, the masks that the heads choose.")
]
Sort = Annotated[
    str | None,
    typer.Option(
        help=f"Put first the masks to look at, by {', '.join(coco_results.LOWEST_FIRST)}."
    ),
]

DATASET: Final = "dataset"

FORMS: Final = ("results", DATASET)


@with_records
def predict_coco(  # noqa: PLR0913 - one for each option
    images: Images,
    annotations: Annotations,
    results: ResultsFile,
    *,
    prompt: Prompt = "box",
    grid: GridOptions,
    model_options: ModelOptions,
    form: Form = "results",
    sort: Sort = None,
    masks: Masks = SELECTED,
) -> None:
    """Segment the objects of a COCO file, or everything in a folder.

    An interrupted run continues where it stopped. Unreadable images are left out and named at the
    end; the exit status is then 1.
    """
    with reported_errors():
        _check_words(prompt, form, sort, masks)
        _check_paths(images, annotations, results)
        prompted = read_checked_prompts(annotations, prompt)
        categories = _categories(annotations, prompt, prompted, form)
        choice = model_options.choose_for(images)
        is_generated = prompt in coco.GENERATED
        options = grid.of_generator(
            choice.family, "" if is_generated else f"--prompt {coco.EVERYTHING}"
        )
        check_masks(masks, choice.file.choices)
        if choice.no_heads and sort not in {None, "sam_score"}:
            raise ParamsError(f"sort must be sam_score where there are no heads, got {sort}")
        origin = {
            "annotations": sha256_file(annotations),
            "images": str(images.resolve()),
            **choice.origin,
            "prompt": f"{prompt} {options} {masks}",
        }
        answered = KeptResults(results.with_name(f"{results.name}.work"), origin)
        with stoppable(f"answers of finished images are kept beside {results}"):
            # Imported late: torch takes seconds, and errors in the arguments should show at once.
            from stages.predictor.answers import answer_images, chosen_answers  # noqa: PLC0415

            answer = chosen_answers(choice, options, masks)
            faults = answer_images(answer, images, prompted, answered, verb="predict")
        n_masks = _write(results, prompted, answered, sort, categories)
        _report(results, n_masks, len(prompted), faults, made_by=f"{choice.family} {choice.model}")
        answered.forget()


def _report(
    results: Path, n_masks: int, n_images: int, faults: Sequence[str], *, made_by: str
) -> None:
    """Print how many masks were predicted, and in how many images; raise if images were left out.

    ``n_images`` counts all images; ``faults`` has a line for each image that was left out. The
    error names the first ``N_LISTED``; if there are more, the file ``<results>.faults.txt`` lists
    all.
    """
    n_read = counted(n_images - len(faults), "image")
    print(f"{printable(str(results))}: {counted(n_masks, 'mask')} in {n_read} by {made_by}")
    faults_file = results.with_name(f"{results.name}.faults.txt")
    write_lines(faults_file, faults if len(faults) > N_LISTED else ())
    if not faults:
        return
    place = f" (all of them in {faults_file})" if len(faults) > N_LISTED else ""
    raise DataError(
        f"{len(faults)} of {counted(n_images, 'image')} left out, fix or replace them and run "
        f"again{place}: {listed(faults)}"
    )


def _check_words(prompt: str, form: str, sort: str | None, masks: str) -> None:
    check_known("prompt", prompt, coco.COCO_PROMPTS)
    check_known("format", form, FORMS)
    if sort is not None:
        check_known("sort", sort, coco_results.LOWEST_FIRST)
    if masks == BEST and prompt in coco.GENERATED:
        raise ParamsError(f"masks must be selected for --prompt {prompt}, got best")


def _categories(
    annotations: Path, prompt: str, images: Sequence[coco.PromptedImage], form: str
) -> Mapping[int, str] | None:
    """Names of categories by id if ``form`` is a data set; None if it is a list of results.

    A data set needs whole numbers as ids of images.
    """
    if form != DATASET:
        return None
    for image in images:
        if not isinstance(image.image_id, int):
            raise DataError(
                f"{annotations}: ids of images must be integers for --format {DATASET}, "
                f"got {shown(image.image_id)}"
            )
    return (
        coco.EVERYTHING_CATEGORIES
        if prompt in coco.GENERATED
        else coco.read_categories(annotations)
    )


def _check_paths(images: Path, annotations: Path, results: Path) -> None:
    """Refuse unusable paths before a run of hours, not after it."""
    if not images.is_dir():
        raise ParamsError(f"images must be in a folder, got none at {images}")
    check_output(results, coco_results.BEGINS, [annotations])


def _write(
    path: Path,
    prompted: Sequence[coco.PromptedImage],
    answered: KeptResults,
    sort: str | None,
    categories: Mapping[int, str] | None,
) -> int:
    """Write a list of results or, with ``categories``, a data set; return the number of masks.

    Masks are sorted by the score ``sort``, or keep the order of the images if it is None.
    """
    results = answered.sorted_results([image.image_id for image in prompted], sort)
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        if categories is None:
            return coco_results.write_list(file, results)
        images = [image.entry for image in prompted]
        return coco_results.write_dataset(file, images, results, categories)
