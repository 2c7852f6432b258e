"""Writes the masks of a review with their decisions as a COCO file."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from pipeline.predictor import coco_masks
from stages.review.decisions import REMOVE
from stages.review.queue import Candidate, ReviewQueue
from storage.folders import whole_file
from storage.outputs.coco_results import coco_annotation
from storage.rle import decode_rle


def export_coco(path: Path, queue: ReviewQueue, *, as_polygons: bool) -> int:
    """Write the masks of a queue as a COCO data set, in the order of the queue.

    The attributes of an annotation are those of ``usam predict-coco``, ``reviewed`` and
    ``decision``, which is empty without a decision; ``annotation_id`` is the id in the COCO file or
    in the data set of a split. Empty masks and masks that a person removed are
    left out. Annotations are written one by one, so the memory does not grow with their number.

    Parameters
    ----------
    as_polygons
        Whether masks are written as polygons, which fill holes, in place of run lengths.

    Returns
    -------
    The number of annotations.
    """
    source = queue.source
    has_numbers = all(isinstance(image.image_id, int) for image in source.prompted)
    ids = {
        image.image_id: image.image_id if has_numbers else number
        for number, image in enumerate(source.prompted, start=1)
    }
    images = [image.entry | {"id": ids[image.image_id]} for image in source.prompted]
    candidates = (queue.candidate(rank) for rank in range(len(queue)))
    annotations = _annotations(candidates, ids, as_polygons=as_polygons)
    used: set[int] = set()
    n_written = 0
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write(f'{{"images": {json.dumps(images)},\n"annotations": [')
        for annotation in annotations:
            file.write(f"{',' if n_written else ''}\n{json.dumps(annotation)}")
            used.add(annotation["category_id"])
            n_written += 1
        names = {category: str(category) for category in used} | dict(source.categories)
        categories = [{"id": category, "name": name} for category, name in sorted(names.items())]
        file.write(f'],\n"categories": {json.dumps(categories)}}}\n')
    return n_written


def _annotations(
    candidates: Iterable[Candidate], ids: Mapping[int | str, int | str], *, as_polygons: bool
) -> Iterator[dict[str, Any]]:
    number = 0
    for candidate in candidates:
        decision = candidate.decision
        rle = candidate.entry["segmentation"]
        if decision is not None and decision.segmentation is not None:
            rle = decision.segmentation
        is_removed = decision is not None and decision.decision == REMOVE
        if is_removed or not coco_mask.area(rle):
            continue
        number += 1
        yield _annotation(number, candidate, rle, as_polygons=as_polygons) | {
            "image_id": ids[candidate.image.image_id]
        }


def _annotation(
    number: int, candidate: Candidate, rle: Mapping[str, Any], *, as_polygons: bool
) -> dict[str, Any]:
    entry, decision = candidate.entry, candidate.decision
    expected_iou = entry["score"]
    if decision is not None and decision.expected_iou is not None:
        expected_iou = decision.expected_iou
    attributes = entry["attributes"] | {
        "expected_iou": expected_iou,
        "reviewed": decision is not None and decision.is_reviewed,
        "decision": "" if decision is None else decision.decision,
    }
    written = {"segmentation": rle, "score": expected_iou, "attributes": attributes}
    annotation = coco_annotation(number, {**entry, **written})
    if "annotation_id" in entry:
        annotation["annotation_id"] = entry["annotation_id"]
    return annotation | {"segmentation": _polygons(rle)} if as_polygons else annotation


def _polygons(rle: Mapping[str, Any]) -> list[list[int]]:
    height_px, width_px = rle["size"]
    return coco_masks.polygons(decode_rle(rle["counts"], height_px=height_px, width_px=width_px))
