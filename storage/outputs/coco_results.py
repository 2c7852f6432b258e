"""COCO results of ``usam predict-coco``: kept image by image, sorted, and written as COCO files.

Entries are read from the disk and written one by one, so the memory does not grow with their masks.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import TextIOBase
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Int, Int64
from pycocotools import mask as coco_mask

from storage.errors import DataError
from storage.folders import check_output, folder_lock
from storage.outputs.records import append_line, append_lines, iterate_lines, read_line

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

_INFO: Final = '{"info": {"contributor": "usam-cache"}, '
"""Begin of a data set, by which its writer is known."""

BEGINS: Final = re.compile(rb"\[\n[{\]]|" + re.escape(_INFO.encode()))
"""First bytes of a list of results and of a data set."""

_SIGNATURE: Final = "made_from"

_KEPT_BEGINS: Final = re.compile(rb"\n")
"""First byte of a file of kept results, also of one whose first line a full disk cut short."""

_N_MASKS: Final = "n_masks"
"""Key of the line that ends an image; the lines before it are its masks."""

_SHA256: Final = "sha256"
"""Key, in the line that ends an image, of the digest of the image's file; None if not known."""


def attributes_of(result: Mapping[str, Any]) -> dict[str, float]:
    """Attributes of a mask, numbers by which annotation tools filter and sort.

    The keys are those of ``LOWEST_FIRST``; an attribute that is not known for the mask is left out.
    ``result`` has a ``score``, the expected IoU of its mask if there are heads, and an
    ``uncertainty``, as the predictor describes a mask.
    """
    uncertainty = result["uncertainty"]
    values = {
        "expected_iou": None if has_no_heads(result) else result["score"],
        **{f"gain_{name}": gain for name, gain in uncertainty["advice"]["gains"].items()},
        "sam_score": uncertainty["sam_score"],
        "unlike_training": uncertainty.get("unlike_training"),
    }
    return {name: values[name] for name in LOWEST_FIRST if values.get(name) is not None}


def has_no_heads(result: Mapping[str, Any]) -> bool:
    """Whether no heads judged a mask: its score is then no expected IoU."""
    return result["uncertainty"].get("expected_iou", {}) is None


def write_list(file: TextIOBase, entries: Iterable[Mapping[str, Any]]) -> int:
    """Write a JSON list, a line for each entry, and return the number of entries."""
    n_written = 0
    file.write("[")
    for entry in entries:
        file.write(f"{',' if n_written else ''}\n{json.dumps(entry)}")
        n_written += 1
    file.write("\n]")
    return n_written


def write_dataset(
    file: TextIOBase,
    images: Sequence[Mapping[str, Any]],
    results: Iterable[Mapping[str, Any]],
    categories: Mapping[int, str],
    *,
    also: Sequence[str] = (),
) -> int:
    """Write a COCO instances file, which annotation tools import; return the number of annotations.

    Annotations are numbered from 1. Empty masks are left out, since annotation tools refuse them.

    Parameters
    ----------
    images
        Entries of the file's list ``images``.
    results
        Results with attributes. The mask of a result with ``polygons`` is written as these.
    categories
        Category names by id; a category without a name is named by its id.
    also
        Further entries of the results that annotations have, too, if they are there.
    """
    used: set[int] = set()

    def annotations() -> Iterator[dict[str, Any]]:
        number = 0
        for result in results:
            rle = result["segmentation"]
            if area := int(coco_mask.area(rle)):
                number += 1
                used.add(result["category_id"])
                yield {
                    "id": number,
                    "image_id": result["image_id"],
                    "category_id": result["category_id"],
                    "iscrowd": 0,
                    "segmentation": result.get("polygons", rle),
                    "area": area,
                    "bbox": coco_mask.toBbox(rle).tolist(),
                    "score": result["score"],
                    "attributes": result["attributes"],
                    **{name: result[name] for name in also if name in result},
                }

    file.write(f'{_INFO}"images": {json.dumps(images)},\n"annotations": ')
    n_written = write_list(file, annotations())
    names = {category: str(category) for category in used} | dict(categories)
    named = [{"id": category, "name": name} for category, name in sorted(names.items())]
    file.write(f',\n"categories": {json.dumps(named)}}}\n')
    return n_written


class KeptResults:
    """Results of the images that are done, in a file with a line for each mask: a run can resume.

    If the file has another signature, its results come from other inputs: it is removed, and a new
    file is begun. The results stay on the disk; memory holds the offset of each line.

    ``digests`` has the sha256 of image files by image id. Images whose last results come from
    another file are not done; ``changed`` has their ids.
    """

    def __init__(
        self,
        path: Path,
        signature: Mapping[str, str],
        digests: Mapping[int | str, str] | None = None,
    ) -> None:
        self._path = path
        self._digests = digests or {}
        self.changed: list[int | str] = []
        self._offsets: dict[int | str, Int64[np.ndarray, " mask"]] = {}
        first = {_SIGNATURE: dict(signature)}
        # Another process may begin the file at the same time, and must not remove this one.
        with folder_lock(path.parent):
            if next(iterate_lines(path), (0, {}))[1] != first:
                check_output(path, _KEPT_BEGINS)
                path.unlink(missing_ok=True)
                append_line(path, first)
        masks: list[int] = []
        made_of: dict[int | str, str | None] = {}
        lines = iterate_lines(path)
        next(lines, None)  # the signature
        for offset, line in lines:
            if _N_MASKS not in line:
                masks.append(offset)
                continue
            # Masks of an image that a kill cut short may stand before these. If a line of these
            # was damaged, the places of the others are unknown, and the image is not done.
            if (n_before := len(masks) - line[_N_MASKS]) >= 0:
                self._offsets[line["image_id"]] = np.array(masks[n_before:], int)
                made_of[line["image_id"]] = line.get(_SHA256)
            masks.clear()
        self.changed = [i for i, new in self._digests.items() if made_of.get(i, new) != new]
        for image_id in self.changed:
            del self._offsets[image_id]

    def __contains__(self, image_id: int | str) -> bool:
        return image_id in self._offsets

    def keep(self, image_id: int | str, results: Results) -> None:
        """Add the results of an image to the file, for this run and the next."""
        end = {"image_id": image_id, _N_MASKS: len(results), _SHA256: self._digests.get(image_id)}
        self._offsets[image_id] = np.array(append_lines(self._path, [*results, end])[:-1], int)

    def results_of(self, image_id: int | str) -> Results:
        """Results of an image with attributes; an empty list without kept results."""
        n_masks = len(self._offsets.get(image_id, ()))
        return [self.result(image_id, place) for place in range(n_masks)]

    def result(self, image_id: int | str, place: int) -> dict[str, Any]:
        """The result of a mask, by its place among the masks of its image, with attributes.

        Raises a KeyError if no results of the image are kept, an IndexError if it has fewer masks,
        and a DataError if the file was changed since.
        """
        offset = int(self._offsets[image_id][place])
        try:
            entry = read_line(self._path, offset)
            return {**entry, "attributes": attributes_of(entry)}
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self._path} must stay as it is while a command reads it, got another or none at "
                f"byte {offset}: end the command and run it again"
            ) from error

    def sorted_results(
        self, image_ids: Sequence[int | str], attribute: str | None
    ) -> Iterator[dict[str, Any]]:
        """Yield the results of images with attributes, the most doubtful masks of all images first.

        ``attribute`` is a key of ``LOWEST_FIRST``, by which masks are sorted; masks without it come
        last. None stands for the order of the images. An image without kept results has no masks.
        """
        if attribute is None:
            yield from (entry for image_id in image_ids for entry in self.results_of(image_id))
            return
        sign = 1 if LOWEST_FIRST[attribute] else -1
        doubts = [
            np.array([sign * values.get(attribute, np.nan) for values in attributes], np.float64)
            for attributes in map(self._attributes_of, image_ids)
        ]
        images, places = places_of([len(of_image) for of_image in doubts])
        for k in np.argsort(np.concatenate(doubts), kind="stable"):  # NaN comes last
            yield self.result(image_ids[images[k]], int(places[k]))

    def _attributes_of(self, image_id: int | str) -> list[Mapping[str, float]]:
        return [entry["attributes"] for entry in self.results_of(image_id)]

    def forget(self) -> None:
        """Remove the file of kept results."""
        self._path.unlink()


def signature_of_masks(path: Path) -> Mapping[str, str]:
    """Signature of a file of ``KeptResults``; empty if the file has no mask or does not exist."""
    lines = iterate_lines(path)
    _, first = next(lines, (0, {}))
    signature: Mapping[str, str] = first.get(_SIGNATURE, {})
    return signature if any("segmentation" in line for _, line in lines) else {}


def places_of(n_masks: Sequence[int]) -> tuple[Int[np.ndarray, " mask"], Int[np.ndarray, " mask"]]:
    """Index of the image of each mask, and the mask's place among the masks of the image.

    ``n_masks`` is the number of masks of each image. Both count from 0.

    >>> images, places = places_of([2, 0, 1])
    >>> images.tolist(), places.tolist()
    ([0, 0, 2], [0, 1, 0])
    """
    images = np.repeat(np.arange(len(n_masks)), n_masks)
    firsts = np.cumsum(n_masks) - n_masks
    return images, np.arange(len(images)) - firsts[images]
