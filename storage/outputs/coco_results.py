"""COCO results of ``usam predict-coco``: kept image by image, sorted, and written as COCO files."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pycocotools import mask as coco_mask

from storage.outputs.records import append_line, iterate_lines, read_line

Results = list[dict[str, Any]]
"""Entries of a COCO results file, one per mask."""

LOWEST_FIRST: Final = {
    "expected_iou": True,
    "gain_model": False,
    "gain_prompt": False,
    "gain_task": False,
    "sam_score": True,
    "unlike_training": False,
}
"""Attributes of a mask; True where the lowest value needs review first, False where the highest."""

_SIGNATURE: Final = "made_from"


def attributes_of(uncertainty: Mapping[str, Any]) -> dict[str, float]:
    """Attributes of a mask, numbers by which annotation tools filter and sort.

    An attribute that is not known for the mask is left out.

    Parameters
    ----------
    uncertainty
        Entry ``uncertainty`` of a result, as the predictor describes a mask.
    """
    values = {
        "expected_iou": uncertainty["expected_iou"]["own"],
        **{f"gain_{name}": gain for name, gain in uncertainty["advice"]["gains"].items()},
        "sam_score": uncertainty["sam_score"],
        "unlike_training": uncertainty.get("unlike_training"),
    }
    return {name: values[name] for name in LOWEST_FIRST if values.get(name) is not None}


def sort_results(results: Results, attribute: str) -> Results:
    """Sort entries by an attribute, the most doubtful first; entries without it come last."""
    sign = 1 if LOWEST_FIRST[attribute] else -1

    def order(entry: Mapping[str, Any]) -> tuple[bool, float]:
        value = entry["attributes"].get(attribute)
        return value is None, sign * float(value or 0)

    return sorted(results, key=order)


def coco_dataset(
    images: Sequence[Mapping[str, Any]], results: Results, categories: Mapping[int, str]
) -> dict[str, Any]:
    """Content of a COCO instances file in which each annotation has its score and attributes.

    Annotation tools import this file.

    Parameters
    ----------
    images
        Entries of the file's list ``images``.
    results
        Results with attributes. Annotations keep their order and are numbered from 1. Empty masks
        are left out, since annotation tools refuse them.
    categories
        Category names by id; a category without a name is named by its id.
    """
    entries = [entry for entry in results if coco_mask.area(entry["segmentation"])]
    unnamed = {entry["category_id"]: str(entry["category_id"]) for entry in entries}
    return {
        "images": list(images),
        "annotations": [
            coco_annotation(number, entry) for number, entry in enumerate(entries, start=1)
        ],
        "categories": [
            {"id": key, "name": name} for key, name in sorted({**unnamed, **categories}.items())
        ],
    }


def coco_annotation(number: int, result: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a result with attributes to an annotation of a COCO data set, with an id."""
    rle = result["segmentation"]
    return {
        "id": number,
        "image_id": result["image_id"],
        "category_id": result["category_id"],
        "iscrowd": 0,
        "segmentation": rle,
        "area": int(coco_mask.area(rle)),
        "bbox": coco_mask.toBbox(rle).tolist(),
        "score": result["score"],
        "attributes": result["attributes"],
    }


class KeptResults:
    """Results of the images that are done, a line of a file for each image: a run can resume.

    If the file has another signature, its results come from other inputs: it is removed. The
    results stay on the disk, so the memory does not grow with the number of images.
    """

    def __init__(self, path: Path, signature: Mapping[str, str]) -> None:
        self._path = path
        self._offsets: dict[int | str, int] = {}
        first, lines = {_SIGNATURE: dict(signature)}, iterate_lines(path)
        if next(lines, (0, {}))[1] == first:
            self._offsets = {line["image_id"]: offset for offset, line in lines}
        else:
            path.unlink(missing_ok=True)
            append_line(path, first)

    def __contains__(self, image_id: int | str) -> bool:
        return image_id in self._offsets

    def keep(self, image_id: int | str, results: Results) -> None:
        """Add the results of an image to the file, for this run and the next."""
        line = {"image_id": image_id, "results": results}
        self._offsets[image_id] = append_line(self._path, line)

    def results_of(self, image_ids: Iterable[int | str]) -> Results:
        """Results of the given images with attributes; images without kept results are skipped."""
        return [
            {**entry, "attributes": attributes_of(entry["uncertainty"])}
            for image_id in image_ids
            if image_id in self
            for entry in read_line(self._path, self._offsets[image_id])["results"]
        ]

    def forget(self) -> None:
        """Remove the file of kept results."""
        self._path.unlink()
