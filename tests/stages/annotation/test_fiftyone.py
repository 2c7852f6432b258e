"""The recipe for FiftyOne, by what its importer of COCO is documented to do with such a file."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.predictor import coco_masks
from storage.outputs.coco_results import LOWEST_FIRST, coco_dataset
from storage.rle import decode_rle
from tests.fixtures.dvc_stages import ROOT

SCORES = (0.7, 0.2, 0.9)


def detection(
    label: str, bounding_box: list[float], mask: np.ndarray, confidence: float, **attributes: float
) -> dict[str, Any]:
    """A label of FiftyOne: any other name is a field of its own."""
    assert mask.any()
    assert all(0 <= side <= 1 for side in bounding_box)
    return {"label": label, "confidence": confidence, **attributes}


class Dataset:
    """The part of FiftyOne's that the recipe names; its package brings a database."""

    def __init__(self, labels: list[dict[str, Any]], field: str) -> None:
        self.labels = labels
        self.field = field

    @classmethod
    def from_dir(cls, *, labels_path: str, label_field: str, **how: object) -> "Dataset":
        # A single type of labels goes to the field that is named, by default `ground_truth`.
        assert how == {
            "dataset_type": "coco",
            "data_path": "/data/photos",
            "label_types": "segmentations",
            "dynamic": True,
        }
        content = json.loads(Path(labels_path).read_text("utf-8"))
        classes = {one["id"]: one["name"] for one in content["categories"]}
        sizes = {one["id"]: (one["width"], one["height"]) for one in content["images"]}
        labels = []
        for one in content["annotations"]:
            attributes = one.pop("attributes")  # as CVAT exports them
            assert not attributes.keys() & one.keys()
            sides = np.divide(one["bbox"], 2 * sizes[one["image_id"]]).tolist()
            mask = decode_rle(one["segmentation"]["counts"], *one["segmentation"]["size"])
            label = classes[one["category_id"]]
            labels.append(detection(label, sides, mask, one["score"], **attributes))
        return cls(labels, label_field)

    def to_patches(self, field: str) -> "Dataset":
        assert field == self.field
        return self

    def sort_by(self, path: str) -> list[dict[str, Any]]:
        field, attribute = path.split(".")
        assert field == self.field
        return sorted(self.labels, key=lambda one: one[attribute])


def test_the_recipe_shows_masks_of_low_expected_iou_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmentation = coco_masks.rle(np.eye(6, 8, dtype=bool))
    results = [
        {
            "image_id": 3,
            "category_id": 1,
            "segmentation": segmentation,
            "score": score,
            "attributes": dict.fromkeys(LOWEST_FIRST, 0.0) | {"expected_iou": score},
        }
        for score in SCORES
    ]
    image = {"id": 3, "file_name": "3.png", "height": 6, "width": 8}
    monkeypatch.chdir(tmp_path)
    Path("found.json").write_text(json.dumps(coco_dataset([image], results, {1: "cell"})), "utf-8")
    shown: list[dict[str, Any]] = []
    fiftyone = ModuleType("fiftyone")
    types = SimpleNamespace(COCODetectionDataset="coco")
    vars(fiftyone).update(Dataset=Dataset, types=types, launch_app=shown.extend)
    monkeypatch.setitem(sys.modules, "fiftyone", fiftyone)
    page = (ROOT / "docs" / "annotate.md").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(import fiftyone.*?)^```", page, re.DOTALL | re.MULTILINE)
    exec(code, {})  # noqa: S102 - that of the docs
    assert [one["confidence"] for one in shown] == sorted(SCORES)
    assert all(one["label"] == "cell" for one in shown)
