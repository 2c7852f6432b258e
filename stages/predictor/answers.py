"""Answers of a predictor to the prompts of images, as entries of COCO results."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from pipeline.predictor import (
    Choice,
    PromptSet,
    UncertainPredictor,
    Uncertainty,
    coco_masks,
)
from stages.predictor.command_options import BEST, SELECTED
from stages.predictor.loading import load_chosen
from stages.predictor.model_choice import ModelChoice
from stages.program.progress import counting, progress
from storage.datasets.coco import NO_CATEGORY, CocoPrompt, PromptedImage
from storage.datasets.object_records import ImageRecord
from storage.errors import ImageError, printable
from storage.folders import sha256_file
from storage.images.image_files import read_rgb
from storage.images.videos import Videos, video_of
from storage.outputs.coco_results import KeptResults
from storage.rle import covered_shares


def picked_mask(uncertainty: Uncertainty, masks: str) -> Choice:
    """The selected mask or, if ``masks`` is ``best``, the mask that the heads choose.

    Where the heads may not choose, the selected mask stands for their choice.
    """
    is_best = masks == BEST
    return uncertainty.best_mask if is_best else uncertainty.mask_of(uncertainty.selected)


def record_score(record: Mapping[str, Any]) -> float:
    """Expected IoU of a mask of ``UncertainMaskGenerator``; without heads, SamScore x stability."""
    if record["expected_iou"] is None:
        return float(record["predicted_iou"] * record["stability_score"])
    return float(record["expected_iou"]["own"])


LEAST_COVERED: Final = 0.5
"""Share of a mask's pixels in annotated masks from which on its object is annotated."""

Answer = Callable[[np.ndarray, PromptedImage], list[dict[str, Any]]]
"""Function from an image's pixels (RGB) and prompts to its entries in a file of COCO results."""


ReadImage = Callable[[ImageRecord], np.ndarray]
"""Function that reads the upright RGB pixels of an image."""


def image_reader(
    folder: Path, records: Iterable[ImageRecord], digests: Mapping[str, str] = MappingProxyType({})
) -> ReadImage:
    """Make a function that reads images in a folder, and frames of videos, as upright RGB pixels.

    It raises an ``ImageError`` if an image is missing, damaged, of another size than its record
    says, or of another sha256 than ``digests`` has for its file. ``records`` are all images that
    the function may be asked for; ``digests`` may lack some.
    """
    videos = Videos(folder, [record.file for record in records])

    def read_image(record: ImageRecord) -> np.ndarray:
        size = {"height_px": record.height_px, "width_px": record.width_px}
        if video_of(record.file) is not None:
            return videos.read(record.file, **size)
        path = folder / record.file
        rgb = read_rgb(path, **size)
        if digests.get(record.file) not in (None, sha256_file(path)):
            raise ImageError(
                f"{path} must be the file that its masks are about, got one that was changed: "
                "restore it, or end `usam review` and run it again, which makes its masks anew"
            )
        return rgb

    return read_image


def answer_images(
    answer: Answer,
    folder: Path,
    prompted: Sequence[PromptedImage],
    results: KeptResults,
    *,
    verb: str,
    digests: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Apply ``answer`` to each image that has no results yet, and write its entries to ``results``.

    Progress, under ``verb`` and the folder of the images, counts all images. ``digests`` are those
    of ``image_reader``.

    Returns
    -------
    An error message for each image that could not be read; the other images have results.
    """
    faults = []
    waiting = [image for image in prompted if image.image_id not in results]
    read_image = image_reader(folder, [image.image for image in waiting], digests)
    title, n_before = f"{verb} {printable(str(folder))}", len(prompted) - len(waiting)
    with progress(title, len(prompted), "images", n_before=n_before) as advance:
        for image in counting(waiting, advance):
            try:
                rgb = read_image(image.image)
                results.keep(image.image_id, answer(rgb, image))
            except ImageError as error:
                faults.append(str(error))
    return faults


def chosen_answers(
    choice: ModelChoice, options: Mapping[str, Any], masks: str = SELECTED
) -> Answer:
    """Load the chosen model, and make a function that segments an image by it.

    Parameters
    ----------
    options
        Keyword arguments of ``UncertainMaskGenerator``, to segment everything; empty to answer the
        prompts of the image.
    masks
        Which mask answers a prompt: one of ``MASKS``. It is not used to segment everything.
    """
    predictor = load_chosen(choice)
    return everything_answers(predictor, options) if options else prompt_answers(predictor, masks)


def prompt_answers(predictor: UncertainPredictor, masks: str = SELECTED) -> Answer:
    """Make a function that returns an entry of COCO results for each prompt of an image.

    It raises a ``PromptError`` if the predictor refuses a prompt. ``masks``, one of ``MASKS``, says
    which mask answers a prompt.
    """

    def answer(rgb: np.ndarray, image: PromptedImage) -> list[dict[str, Any]]:
        predictor.set_image(rgb)
        prompt_sets = [_prompt_set(prompt) for prompt in image.prompts]
        answers = zip(image.prompts, predictor.predict_uncertainties(prompt_sets), strict=True)
        return [
            _prompt_result(image, prompt, uncertainty, masks) for prompt, uncertainty in answers
        ]

    return answer


def everything_answers(predictor: UncertainPredictor, options: Mapping[str, Any]) -> Answer:
    """Make a function that returns an entry of COCO results for each mask found in an image.

    It ignores the prompts of the image, and leaves out masks that annotations of the image cover.
    ``options`` are those of ``UncertainMaskGenerator``.
    """
    # Imported late: its torchvision takes seconds, which a click need not wait for.
    from pipeline.predictor import UncertainMaskGenerator  # noqa: PLC0415

    generator = UncertainMaskGenerator(predictor, output_mode="coco_rle", **options)

    def answer(rgb: np.ndarray, image: PromptedImage) -> list[dict[str, Any]]:
        records = generator.generate(rgb)
        masks = [record["segmentation"] for record in records]
        covered = covered_shares(masks, image.annotated or ())
        return [
            _everything_result(image, record)
            for record, share in zip(records, covered, strict=True)
            if share < LEAST_COVERED
        ]

    return answer


def _everything_result(image: PromptedImage, record: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a record of ``UncertainMaskGenerator`` to an entry of COCO results.

    Its ``score`` is that of ``record_score``, and ``uncertainty`` has all other values.
    """
    copied = (
        *("stability_score", "point_coords", "expected_iou", "gap", "direct_gap"),
        *("advice", "is_kept", "unlike_training", "caution", "family", "model"),
    )
    return {
        "image_id": image.image_id,
        "category_id": NO_CATEGORY,
        "segmentation": record["segmentation"],
        "bbox": record["bbox"],
        "score": record_score(record),
        "uncertainty": {
            "sam_score": record["predicted_iou"],
            # A good mask beside all annotations is a reason to doubt that they are complete.
            **({} if image.annotated is None else {"doubt": record_score(record)}),
            **{name: record[name] for name in copied},
        },
    }


def _prompt_set(prompt: CocoPrompt) -> PromptSet:
    box = None if prompt.box is None else list(prompt.box)
    return PromptSet(list(prompt.clicks) or None, [1] * len(prompt.clicks) or None, box)


def _prompt_result(
    image: PromptedImage, prompt: CocoPrompt, uncertainty: Uncertainty, masks: str
) -> dict[str, Any]:
    return {
        "image_id": image.image_id,
        "category_id": prompt.category_id,
        "annotation_id": prompt.annotation_id,
        **mask_result(uncertainty, picked_mask(uncertainty, masks)),
    }


def mask_result(uncertainty: Uncertainty, mask: Choice) -> dict[str, Any]:
    """Convert a mask and its uncertainty to the values of an entry of COCO results.

    The keys are ``segmentation`` (run lengths), ``score`` (the expected IoU or, without heads,
    SamScore times stability) and ``uncertainty`` (all values of the mask's proposal and of its
    prompt).
    """
    return {
        "segmentation": coco_masks.rle(mask.mask),
        "score": uncertainty.score_of(mask),
        "uncertainty": {
            **uncertainty.proposal_values(mask.proposal),
            **uncertainty.prompt_values(),
        },
    }
