"""Masks or annotations of an eval split to review, from the cache, so that no model runs."""

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.gallery import foreground
from pipeline.predictor import coco_masks
from pipeline.predictor.advice import NONE, Advice
from pipeline.views import default_view
from pipeline.vocabulary import PROMPTS
from stages.predictor.answers import Answer
from stages.predictor.loading import head_set_of
from stages.predictor.model_choice import ModelChoice
from stages.review.queue import Source
from stages.settings.params import cache_location, read_params
from stages.settings.parsing import ParamsError
from stages.settings.signatures import eval_settings, weights_record
from stages.split_predictions import expected_ious
from storage.datasets.coco import EVERYTHING_CATEGORIES, NO_CATEGORY, CocoPrompt, PromptedImage
from storage.datasets.object_records import ImageRecord
from storage.head_files.head_file import check_card
from storage.images.videos import address_in
from storage.outputs.results import read_annotations
from storage.paths import results_dir
from storage.split.object_table import ObjectTable, read_objects_of
from storage.split.split_cells import open_cells

CENTER: Final = PROMPTS.index("center")


def read_split(split: str) -> Source:
    """Read the images of an eval split of ``params.yaml``, each object with its click ``center``.

    Images at an address are refused.
    """
    params = read_params()
    table = read_objects_of(split, cache_location())
    prompts: list[list[CocoPrompt]] = [[] for _ in table.file]
    for row, image in enumerate(table.image_index.tolist()):
        x, y = table.point_px[row, CENTER].tolist()
        object_id = int(table.object_id[row])
        prompts[image].append(CocoPrompt(object_id, NO_CATEGORY, None, ((float(x), float(y)),)))
    records = [
        ImageRecord(str(file), int(height_px), int(width_px))
        for file, height_px, width_px in zip(
            table.file, table.height_px, table.width_px, strict=True
        )
    ]
    prompted = [
        PromptedImage(record.file, record, tuple(of_image))
        for record, of_image in zip(records, prompts, strict=True)
    ]
    images = Path(params.splits[split].images)
    if address_in(images):
        raise ParamsError(f"split must have its images in a folder, got an address in {images}")
    return Source(
        split,
        images,
        prompted,
        "clicks",
        EVERYTHING_CATEGORIES,
        {"objects": table.digest},
        digests=dict(zip(table.file.tolist(), table.image_sha256.tolist(), strict=True)),
        cached_family=params.extract.family,
        cached_answers=partial(cached_answers, split),
    )


def read_annotated_split(split: str) -> Source:
    """Read the images of an eval split as ``read_split`` does, to review its annotations."""
    table = read_annotations(results_dir(split))
    digest = hashlib.sha256(table.to_csv().encode()).hexdigest()
    source = read_split(split)
    return replace(
        source,
        origin={**source.origin, "annotations": digest},
        cached_answers=lambda _: annotated_answers(split),
        has_annotations=True,
    )


def annotated_answers(split: str) -> Answer:
    """Make a function that returns the annotations of an image, and how much models doubt them.

    The function ignores the pixels. Its entries are in the order of the image's objects; their
    ``uncertainty`` has ``doubt`` and ``iou``, the mean IoU of the annotation with models' masks.
    """
    table = read_objects_of(split, cache_location())
    annotations = read_annotations(results_dir(split)).sort_values("row")
    doubt, iou, expected_iou = (
        annotations[name].to_numpy(np.float64) for name in ("doubt", "iou", "expected_iou")
    )
    rows_of = _rows_of(table)

    def entry(row: int, image: PromptedImage) -> dict[str, Any]:
        size = [image.image.height_px, image.image.width_px]
        return {
            "image_id": image.image_id,
            "category_id": NO_CATEGORY,
            "annotation_id": int(table.object_id[row]),
            "segmentation": {"size": size, "counts": str(table.mask_rle[row])},
            "score": float(expected_iou[row]),
            "uncertainty": {
                "doubt": float(doubt[row]),
                "iou": float(iou[row]),
                **_uncertainty(float(expected_iou[row]), None),
            },
        }

    def answer(_rgb: np.ndarray, image: PromptedImage) -> list[dict[str, Any]]:
        return [entry(row, image) for row in rows_of[image.image.file]]

    return answer


def cached_answers(split: str, choice: ModelChoice) -> Answer:
    """Make a function that returns the selected masks of an image from the cache.

    The function ignores the pixels. Its masks answer the click ``center``, in the order of the
    image's objects; their score is the IoU that the heads of ``choice`` expect or, without heads,
    SamScore times stability.
    """
    params = read_params()
    record = weights_record(params.extract, choice.model)
    if record is not None and record.digest != choice.record.digest:
        raise ParamsError(
            f"--weights must be {record.path}, with which the masks of the cache were made, got "
            f"{choice.record.path}"
        )
    identity = [default_view("identity")]
    settings = eval_settings(params.extract, split, (choice.model,), identity, params.extra_prompts)
    cells = open_cells(split, settings, with_masks=True, cache=cache_location())
    cell = cells.by_name[choice.model, "identity"]
    sam_score = cell.proposals().sam_score
    if choice.heads is None:
        score = sam_score * cell.scores("stability_score")[:, CENTER]
    else:
        check_card(choice.heads, choice.file.card, cells.head_origin)
        score = expected_ious(cell, head_set_of(choice.file.card), choice.file)
    has_heads = choice.heads is not None
    rows_of = _rows_of(cells.table)
    made_by = {"family": choice.family, "model": choice.model}

    def entry(row: int, image: PromptedImage, prompt: CocoPrompt) -> dict[str, Any]:
        selected = int(sam_score[row].argmax())
        size = {"height_px": image.image.height_px, "width_px": image.image.width_px}
        mask = foreground(cell.mask_code(row)[CENTER, selected], **size)
        of_mask = float(score[row, selected])
        iou = of_mask if has_heads else None
        return {
            "image_id": image.image_id,
            "category_id": prompt.category_id,
            "annotation_id": prompt.annotation_id,
            "segmentation": coco_masks.rle(mask),
            "score": of_mask,
            "uncertainty": _uncertainty(iou, float(sam_score[row, selected])) | made_by,
        }

    def answer(_rgb: np.ndarray, image: PromptedImage) -> list[dict[str, Any]]:
        rows = rows_of[image.image.file]
        return [entry(row, image, prompt) for row, prompt in zip(rows, image.prompts, strict=True)]

    return answer


def _rows_of(table: ObjectTable) -> dict[str, list[int]]:
    """Rows of each image's objects in the table, by the image's file."""
    return {
        str(file): np.flatnonzero(table.image_index == image).tolist()
        for image, file in enumerate(table.file)
    }


def _uncertainty(expected_iou: float | None, sam_score: float | None) -> dict[str, Any]:
    """Values of ``Uncertainty`` for a mask of the cache, in the form of JSON.

    No model runs: the advice is ``NONE``; ``unlike_training`` and ``caution`` are None. So is
    ``sam_score`` for an annotation.
    """
    return {
        "sam_score": sam_score,
        "expected_iou": None if expected_iou is None else {"own": expected_iou},
        "advice": Advice(NONE, 0.0, expected_iou, {}).to_dict(),
        "unlike_training": None,
        "caution": None,
    }
