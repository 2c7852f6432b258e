"""Data sets of ``usam predict-coco`` in other tools, by the recipes of docs/annotate.md."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Final
from unittest.mock import MagicMock

import numpy as np
import pytest
from PIL import Image

from pipeline.predictor import coco_masks
from stages.review.export import export_queue
from storage.outputs.coco_results import LOWEST_FIRST, write_dataset
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.reviews import written_queue

SCORES: Final = (0.7, 0.2, 0.9)
MASK: Final = np.eye(6, 8, dtype=bool)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of an environment of its own with Datumaro, whose packages differ from ours."""
    folder = tmp_path_factory.mktemp("datumaro")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    # Of its packages, few modules are imported: those alone are compiled, then.
    install = ["install", "-q", "--no-compile", "datumaro==1.13.12"]
    pip = [sys.executable, "-m", "pip", f"--python={folder}/bin/python", *install]
    installed = subprocess.run(pip, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"Datumaro cannot be installed: {installed.stderr[-300:]}")
    return folder / "bin" / "python"


DATUMARO: Final = """
import json
from datumaro import Dataset
[item] = Dataset.import_from("set", "coco_instances")
masks = [one for one in item.annotations if one.type.name == "mask"]
masks.sort(key=lambda one: one.attributes["expected_iou"])
print(json.dumps([[one.attributes, int(one.image.sum())] for one in masks]))
"""
"""As docs/annotate.md has it."""


def printed(python: Path, code: str, folder: Path) -> str:
    """Last line that a program prints, which runs in a folder."""
    done = subprocess.run(
        [python, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_datumaro_sorts_masks_by_their_expected_iou(python: Path, tmp_path: Path) -> None:
    results = [
        {
            "image_id": 3,
            "category_id": 1,
            "segmentation": coco_masks.rle(MASK),
            "score": score,
            "attributes": dict.fromkeys(LOWEST_FIRST, 0.5) | {"expected_iou": score},
        }
        for score in SCORES
    ]
    image = {"id": 3, "file_name": "3.png", "height": 6, "width": 8}
    file = tmp_path / "set/annotations/instances_default.json"
    pictures = tmp_path / "set/images/default"
    for folder in (file.parent, pictures):
        folder.mkdir(parents=True)
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(pictures / "3.png")
    with file.open("w", encoding="utf-8") as opened:
        write_dataset(opened, [image], results, {1: "cell"})
    found = json.loads(printed(python, DATUMARO, tmp_path))
    assert [attributes["expected_iou"] for attributes, _ in found] == sorted(SCORES)
    assert [attributes["score"] for attributes, _ in found] == sorted(SCORES)
    assert {area for _, area in found} == {MASK.sum()}


CVAT: Final = """
import json
from datumaro import Dataset
items = Dataset.import_from("queue.xml", "cvat")
print(json.dumps([
    [item.id, [[mask.attributes["expected_iou"], mask.image.tolist()] for mask in item.annotations]]
    for item in items
]))
"""


@pytest.mark.slow
def test_datumaro_reads_the_queue_for_cvat(python: Path, tmp_path: Path) -> None:
    queue = written_queue(tmp_path, [0.9, 0.2], [0.5])
    assert export_queue(tmp_path / "queue.xml", queue, "cvat") == 3
    images = json.loads(printed(python, CVAT, tmp_path))
    assert [
        [name, [float(expected_iou) for expected_iou, _ in masks]] for name, masks in images
    ] == [["1", [0.2, 0.9]], ["2", [0.5]]]
    for rank, (_, mask) in enumerate([images[0][1][0], images[1][1][0], images[0][1][1]]):
        np.testing.assert_array_equal(np.array(mask, bool), queue.candidate(rank).mask)


def test_fiftyone_sorts_by_an_attribute_of_the_field_that_it_reads_into(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fiftyone = MagicMock()
    monkeypatch.setitem(sys.modules, "fiftyone", fiftyone)
    page = (ROOT / "docs" / "annotate.md").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(import fiftyone.*?)^```", page, re.DOTALL | re.MULTILINE)
    exec(code, {})  # noqa: S102 - that of the docs
    read = fiftyone.Dataset.from_dir
    field = read.call_args.kwargs["label_field"]
    patches = read.return_value.to_patches
    patches.assert_called_once_with(field)
    ((path,), _) = patches.return_value.sort_by.call_args
    assert path in {f"{field}.{attribute}" for attribute in LOWEST_FIRST}
    fiftyone.launch_app.assert_called_once_with(patches.return_value.sort_by.return_value)
