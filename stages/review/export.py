"""Writes the masks of a review with their decisions: as COCO, for CVAT, or for Label Studio."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from io import TextIOBase
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, tostring

import cv2
import numpy as np

from pipeline.predictor import coco_masks
from stages.annotation.label_studio import brush_region
from stages.review.queue import COCO, CVAT, LABEL_STUDIO, Candidate, ReviewQueue
from stages.settings.parsing import ParamsError
from storage.folders import whole_file
from storage.images.videos import video_of
from storage.outputs.coco_results import write_dataset, write_list
from storage.rle import run_lengths

LOCAL_FILES: Final = "/data/local-files/?d="
"""Address of a file that Label Studio serves, before its path below the document root."""


def export_queue(
    path: Path, queue: ReviewQueue, form: str = COCO, *, as_polygons: bool = False
) -> int:
    """Write the masks of a queue, and return their number; leave out empty and removed masks.

    Masks are read and written one by one, so the memory does not grow with their number.

    Parameters
    ----------
    form
        One of ``FORMS``.
    as_polygons
        Whether the masks of a COCO data set are polygons, which fill holes, not run lengths; other
        forms ignore it.

    Raises
    ------
    ParamsError
        If the images are frames of videos, which other tools cannot open, and the form is not COCO.
    """
    writers: Mapping[str, Callable[[TextIOBase, ReviewQueue], int]] = {
        COCO: partial(_write_coco, as_polygons=as_polygons),
        CVAT: _write_cvat,
        LABEL_STUDIO: _write_tasks,
    }
    write = writers[form]
    if form != COCO and any(video_of(image.image.file) for image in queue.source.prompted):
        raise ParamsError(f"format must be {COCO} for frames of videos, got {form}")
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        return write(file, queue)


def _write_coco(file: TextIOBase, queue: ReviewQueue, *, as_polygons: bool) -> int:
    """Write a COCO data set with the annotations in the order of the queue; return their number.

    If an image's id is no integer, all images get new ids, from 1. ``annotation_id`` of an
    annotation is the id in the COCO file of the prompts, or in the data set of a split.
    """
    prompted = queue.source.prompted
    has_numbers = all(isinstance(image.image_id, int) for image in prompted)
    ids = {
        image.image_id: image.image_id if has_numbers else number
        for number, image in enumerate(prompted, start=1)
    }
    images = [image.entry | {"id": ids[image.image_id]} for image in prompted]
    results = (
        _result(queue.candidate(rank), ids, as_polygons=as_polygons) for rank in range(len(queue))
    )
    exported = (result for result in results if result is not None)
    return write_dataset(file, images, exported, queue.source.categories, also=["annotation_id"])


def _result(
    candidate: Candidate, ids: Mapping[int | str, int | str], *, as_polygons: bool
) -> dict[str, Any] | None:
    """The mask of a review as a result, with the new id of its image; None for a removed mask."""
    if not candidate.is_exported:
        return None
    reviewed = {
        "image_id": ids[candidate.image.image_id],
        "segmentation": candidate.segmentation,
        "score": candidate.score,
        "attributes": candidate.attributes,
    }
    polygons = {"polygons": coco_masks.polygons(candidate.mask)} if as_polygons else {}
    return {**candidate.entry, **reviewed, **polygons}


def _write_cvat(file: TextIOBase, queue: ReviewQueue) -> int:
    """Write *CVAT for images 1.1*, and return the number of masks.

    Frame 0 is the image with the most doubtful mask.
    """
    labels = sorted({_label(queue, category) for category in queue.source.categories})
    file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
    file.write(f"{_xml(_meta(queue.source.name, labels))}\n")
    n_written = 0
    for frame, candidates in enumerate(queue.by_image()):
        image = candidates[0].image.image
        size = {"width": str(image.width_px), "height": str(image.height_px)}
        element = Element("image", {"id": str(frame), "name": image.file, **size})
        masks = [_cvat_mask(queue, candidate) for candidate in candidates if candidate.is_exported]
        element.extend(masks)
        n_written += len(masks)
        file.write(f"{_xml(element)}\n")
    file.write("</annotations>\n")
    return n_written


def _xml(element: Element) -> str:
    return tostring(element, encoding="unicode")


def _label(queue: ReviewQueue, category_id: int) -> str:
    return queue.source.categories.get(category_id, str(category_id))


def _meta(name: str, labels: Sequence[str]) -> Element:
    """Describe CVAT's task: its name and labels. CVAT itself ignores this when it reads masks."""
    meta = Element("meta")
    task = SubElement(meta, "task")
    SubElement(task, "name").text = name
    SubElement(task, "mode").text = "annotation"
    described = SubElement(task, "labels")
    for label in labels:
        SubElement(SubElement(described, "label"), "name").text = label
    return meta


def _cvat_mask(queue: ReviewQueue, candidate: Candidate) -> Element:
    """Element of a mask for CVAT: run lengths by rows, inside the box of the mask."""
    mask = candidate.mask
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    runs = run_lengths(mask[y : y + height, x : x + width].ravel())
    box = {"left": x, "top": y, "width": width, "height": height}
    element = Element(
        "mask",
        {
            "label": _label(queue, candidate.entry["category_id"]),
            "source": "file",
            "occluded": "0",
            "rle": ", ".join(map(str, runs.tolist())),
            **{name: str(pixels) for name, pixels in box.items()},
            "z_order": "0",
        },
    )
    for name, value in candidate.attributes.items():
        text = f"{value:.4f}" if isinstance(value, float) else str(value).lower()
        SubElement(element, "attribute", name=name).text = text
    return element


def _write_tasks(file: TextIOBase, queue: ReviewQueue) -> int:
    """Write tasks of Label Studio, one per image, and return the number of masks.

    The first task is the image with the most doubtful mask.
    """
    n_written = 0

    def tasks() -> Iterator[dict[str, Any]]:
        nonlocal n_written
        for candidates in queue.by_image():
            regions = [_region(queue, mask) for mask in candidates if mask.is_exported]
            n_written += len(regions)
            yield _task(queue, candidates[0].image.image.file, regions)

    write_list(file, tasks())
    return n_written


def _region(queue: ReviewQueue, candidate: Candidate) -> dict[str, Any]:
    region = brush_region(
        candidate.mask,
        [_label(queue, candidate.entry["category_id"])],
        candidate.score,
        from_name="label",
        to_name="image",
    )
    words = candidate.attributes["decision"]
    return region | {"meta": {"text": [words]}} if words else region


def _task(queue: ReviewQueue, file: str, regions: list[dict[str, Any]]) -> dict[str, Any]:
    """Task of Label Studio for an image, with the image's regions.

    Label Studio sorts tasks by their score: the lowest expected IoU, or 1 without a mask.
    """
    path = f"{queue.source.images.resolve().name}/{file}"
    score = min((region["score"] for region in regions), default=1.0)
    prediction = {"model_version": "usam-cache", "score": score, "result": regions}
    return {"data": {"image": LOCAL_FILES + quote(path)}, "predictions": [prediction]}
