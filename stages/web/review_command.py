"""``usam review``: segments images, and serves a page to look at the doubtful masks first."""

import sys
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from pipeline.iou_errors import IouErrors
from pipeline.sam.families import FAMILIES
from pipeline.vocabulary import TRAIN_PROMPTS
from stages.predictor.command_options import (
    GridOptions,
    Host,
    ModelOptions,
    Port,
    check_share,
    with_records,
)
from stages.predictor.model_choice import ModelChoice
from stages.program.main import reported_errors
from stages.program.stopping import stoppable
from stages.review.decisions import REMOVE, Decisions, MaskKey, check_inputs, one_writer
from stages.review.queue import COCO, EXPORT_BEGINS, FORMS, ReviewQueue, Source
from stages.review.sources import file_digests, read_source
from stages.settings.parsing import ParamsError, check_known
from storage.checkpoints.weights import named_weights
from storage.datasets import coco
from storage.errors import DataError, counted, listed, printable, shown
from storage.folders import check_output, write_lines
from storage.outputs.coco_results import KeptResults, signature_of_masks

PORT: Final = 8766

Half = Annotated[
    str | None, typer.Option(help="1/2 or 2/2: every second image, for two reviewers.")
]

STOP_AT: Final = 0.8
"""Mean IoU of the masks left at which a review may stop, unless an option says another. Reviews of
300 drawn scenes reach it, for each mini model, from clicks and from boxes."""

HALVES: Final = {"1/2": 0, "2/2": 1}
"""Names of the halves -> number of their first image."""


@with_records
def review(  # noqa: PLR0913 - one for each option
    source: Annotated[
        str, typer.Argument(help="Folder of images, COCO file of prompts, or eval split.")
    ],
    *,
    images: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Images of a COCO file.")
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            help="Of a COCO file: box (bbox; default), clicks (keypoints), everything, overlooked."
        ),
    ] = None,
    annotations: Annotated[
        bool,
        typer.Option("--annotations", help="Of a split: its annotations, most doubted first."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="For masks and decisions; by default NAME.review."),
    ] = None,
    replace_masks: Annotated[
        bool,
        typer.Option("--replace", help="Replace masks made under other inputs; no decisions."),
    ] = False,
    half: Half = None,
    stop_at: Annotated[
        float, typer.Option(help="Mean IoU of the masks left at which the page says stop.")
    ] = STOP_AT,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write all masks and decisions to a file; no page."),
    ] = None,
    form: Annotated[
        str,
        typer.Option("--format", help="With --export: coco, cvat (CVAT 1.1) or label-studio."),
    ] = COCO,
    polygons: Annotated[
        bool, typer.Option("--polygons", help="With --export: polygons, not run lengths.")
    ] = False,
    grid: GridOptions,
    model_options: ModelOptions,
    host: Host = "127.0.0.1",
    port: Port = PORT,
) -> None:
    """Segment images; look at the doubtful masks first, on a web page.

    Run it again to go on: finished images and decisions are kept in the folder of --out.
    """
    with reported_errors():
        if prompt is not None:
            check_known("prompt", prompt, coco.COCO_PROMPTS)
        check_share("stop-at", stop_at)
        if half is not None:
            check_known("half", half, tuple(HALVES))
        check_known("format", form, FORMS)
        if export is None and (polygons or form != COCO):
            raise ParamsError("--format and --polygons must come with --export, got them alone")
        if polygons and form != COCO:
            raise ParamsError(f"--polygons must come with --format {COCO}, got {form}")
        review_source = read_source(source, images, prompt, annotations=annotations)
        folder = out or Path(f"{review_source.name}{'.annotations' if annotations else ''}.review")
        if export is not None:
            check_output(export, EXPORT_BEGINS, [Path(source), *folder.glob("*.jsonl")])
        masks = None if replace_masks else folder / "masks.jsonl"
        model_options = _with_usual_model(model_options, review_source, masks)
        choice = model_options.choose_for(review_source.images)
        is_generated = review_source.prompt in coco.GENERATED
        options = grid.of_generator(
            choice.family, "" if is_generated else f"--prompt {coco.EVERYTHING}"
        )
        suffix = f"-{half.replace('/', '-of-')}" if half else ""
        path = folder / f"decisions{suffix}.jsonl"
        with nullcontext() if export else one_writer(path):
            queue = _queue(
                review_source, choice, options, path, half, stop_at, replace_masks=replace_masks
            )
            if export is not None:
                _export(export, queue, form, as_polygons=polygons)
                return
            if not len(queue):
                hint = ": lower --min-score and --min-stability" if options else ""
                raise DataError(f"{source} must have one mask or more to look at, got none{hint}")
            # The model that made the masks, also where this machine has smaller ones.
            model_options = replace(model_options, family=choice.family, model=choice.model)
            _serve(queue, replace(model_options, precision=choice.precision), host, port)


def _with_usual_model(options: ModelOptions, source: Source, masks: Path | None) -> ModelOptions:
    """Options with the family of a cached split, or with family and model of masks that were begun.

    Options that name a family, heads or embeddings stay as they are.
    """
    if options.family or options.heads or options.embeddings:
        return options
    family, model = source.cached_family, options.model
    if not family and masks:
        weights = signature_of_masks(masks).get("weights", "")
        family, _, of_masks = named_weights(weights).partition(" ")
        model = model or of_masks or None
    return replace(options, family=family if family in FAMILIES else None, model=model)


def _queue(
    source: Source,
    choice: ModelChoice,
    options: dict[str, Any],
    path: Path,
    half: str | None,
    stop_at: float,
    *,
    replace_masks: bool,
) -> ReviewQueue:
    """Segment the images that have no masks yet, and open the queue of the masks of all images.

    ``path`` is the file of decisions; masks are kept beside it. Images that cannot be read are left
    out, and listed in ``faults.txt``. ``options`` are those of ``chosen_answers``. ``half``, a key
    of ``HALVES``, takes the images and decisions of one of two reviewers; None takes all.
    ``replace_masks`` makes masks of other inputs anew, where no decision is about them.
    """
    folder = path.parent
    made_from = {
        "images": str(source.images.resolve()),
        **source.origin,
        **choice.origin,
        "prompt": f"{source.prompt} {options}",
    }
    others = [file for file in sorted(folder.glob("decisions*.jsonl")) if file != path]
    records = {image.image_id: image.image for image in source.prompted}
    sizes = {image_id: (image.height_px, image.width_px) for image_id, image in records.items()}
    decisions = Decisions(path, made_from, others, sizes)
    if decisions.faults:
        print(f"note: lines left out: {listed(decisions.faults)}", file=sys.stderr)
    if half:
        source = replace(source, prompted=source.prompted[HALVES[half] :: 2])
    digests = {}
    if not source.cached_family:
        source = replace(source, digests=file_digests(source))
        digests = {
            image.image_id: source.digests[image.image.file]
            for image in source.prompted
            if image.image.file in source.digests
        }
    masks = folder / "masks.jsonl"
    remedy = "name another folder with --out, or add --replace to replace these masks"
    if (before := signature_of_masks(masks)) and not replace_masks:
        check_inputs(f"{masks} has masks", before, made_from, remedy)
    results = KeptResults(masks, made_from, digests)
    decided = {image_id for (image_id, _), _ in decisions}
    if changed := [image_id for image_id in results.changed if image_id in decided]:
        raise DataError(
            f"image {shown(changed[0])} must be the file that decisions are about, got another: "
            f"restore it, remove its lines from {folder}/decisions*.jsonl, or name another folder "
            "with --out"
        )
    with stoppable(f"masks of finished images are kept in {folder}"):
        faults = [*source.faults, *_segment(source, choice, options, results)]
    _report(folder, len(source.prompted) + len(source.faults), faults)
    queue = ReviewQueue(
        source,
        results,
        decisions,
        stop_at=stop_at,
        errors=_errors(choice, source),
        has_heads=choice.heads is not None,
    )
    of_other_half = {*records} - {image.image_id for image in source.prompted}
    _note_unknown([key for key in queue.unknown if key[0] not in of_other_half])
    return queue


def _errors(choice: ModelChoice, source: Source) -> IouErrors | None:
    """Measured errors of the heads for the model and the prompts of a source; None without them.

    They are known of boxes and of single clicks.
    """
    is_box = source.prompt == "box"
    prompts = [prompt for image in source.prompted for prompt in image.prompts]
    if not is_box and any(len(prompt.clicks) > 1 for prompt in prompts):
        return None
    name = "box" if is_box else TRAIN_PROMPTS[0]
    return next(
        (
            errors
            for errors in choice.file.errors
            if (errors.model, errors.prompt) == (choice.model, name)
        ),
        None,
    )


def _note_unknown(keys: Sequence[MaskKey]) -> None:
    if keys:
        masks = listed([f"{place} of {shown(image_id)}" for image_id, place in keys])
        print(f"note: decisions left out, their masks do not exist: {masks}", file=sys.stderr)


def _segment(
    source: Source, choice: ModelChoice, options: dict[str, Any], results: KeptResults
) -> list[str]:
    """Segment the images without masks; return an error message per image that cannot be read."""
    if all(image.image_id in results for image in source.prompted):
        return []
    # Imported late: torch takes seconds, and errors in the arguments should show at once.
    from stages.predictor.answers import answer_images, chosen_answers  # noqa: PLC0415

    answer = (
        source.cached_answers(choice) if source.cached_answers else chosen_answers(choice, options)
    )
    return answer_images(
        answer, source.images, source.prompted, results, verb="segment", digests=source.digests
    )


def _report(folder: Path, n_images: int, faults: list[str]) -> None:
    """Write the lines about unreadable images to ``faults.txt``, and print their number to stderr.

    Without such lines, an older ``faults.txt`` is removed and nothing is printed.
    """
    faults_file = folder / "faults.txt"
    write_lines(faults_file, faults)
    if faults:
        print(
            f"{len(faults)} of {counted(n_images, 'image')} left out: {faults_file} says why",
            file=sys.stderr,
        )


def _export(path: Path, queue: ReviewQueue, form: str, *, as_polygons: bool) -> None:
    from stages.review.export import export_queue  # noqa: PLC0415 - torch

    n_masks = export_queue(path, queue, form, as_polygons=as_polygons)
    n_reviewed, n_removed = int(queue.is_reviewed.sum()), queue.n_decided(REMOVE)
    counts = {"removed": n_removed, "empty": len(queue) - n_removed - n_masks}
    left_out = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
    print(
        f"{printable(str(path))}: {counted(n_masks, 'mask')}, {n_reviewed} looked at"
        f"{left_out and f'; left out: {left_out}'}"
    )


def _serve(queue: ReviewQueue, options: ModelOptions, host: str, port: int) -> None:
    from stages.web.page_state import PageState  # noqa: PLC0415
    from stages.web.server import open_endpoint, serve  # noqa: PLC0415

    endpoint = open_endpoint(host, port)
    with closing(endpoint.listener):
        page = PageState(options, review=queue)
        page.warm_up()
        masks = counted(queue.remaining.n_masks, "mask")
        print(f"{masks} to look at: open {endpoint.address}, end with Ctrl-C", flush=True)
        serve(page, endpoint)
