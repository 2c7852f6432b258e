"""Data sets of ``usam predict-coco`` in Datumaro, which wants packages that differ from ours."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from PIL import Image

from pipeline.predictor import coco_masks
from storage.outputs.coco_results import LOWEST_FIRST, coco_dataset

pytestmark = pytest.mark.slow

SCORES: Final = (0.7, 0.2, 0.9)

PROGRAM: Final = """
import json
from datumaro import Dataset
[item] = Dataset.import_from("set", "coco_instances")
masks = [one for one in item.annotations if one.type.name == "mask"]
masks.sort(key=lambda one: one.attributes["expected_iou"])
print(json.dumps([[one.attributes, int(one.image.sum())] for one in masks]))
"""
"""As docs/annotate.md has it."""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of an environment of its own, which has Datumaro."""
    folder = tmp_path_factory.mktemp("datumaro")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    # Of its packages, few modules are imported: those alone are compiled, then.
    install = ["install", "-q", "--no-compile", "datumaro==1.13.12"]
    pip = [sys.executable, "-m", "pip", f"--python={folder}/bin/python", *install]
    installed = subprocess.run(pip, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"Datumaro cannot be installed: {installed.stderr[-300:]}")
    return folder / "bin" / "python"


def test_datumaro_sorts_masks_by_their_expected_iou(python: Path, tmp_path: Path) -> None:
    mask = np.eye(6, 8, dtype=bool)
    results = [
        {
            "image_id": 3,
            "category_id": 1,
            "segmentation": coco_masks.rle(mask),
            "score": score,
            "attributes": dict.fromkeys(LOWEST_FIRST, 0.5) | {"expected_iou": score},
        }
        for score in SCORES
    ]
    image = {"id": 3, "file_name": "3.png", "height": 6, "width": 8}
    file = tmp_path / "set" / "annotations" / "instances_default.json"
    file.parent.mkdir(parents=True)
    images = tmp_path / "set" / "images" / "default"
    images.mkdir(parents=True)
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(images / "3.png")
    file.write_text(json.dumps(coco_dataset([image], results, {1: "cell"})), "utf-8")
    read = subprocess.run(
        [python, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert read.returncode == 0, read.stderr
    found = json.loads(read.stdout.splitlines()[-1])
    assert [attributes["expected_iou"] for attributes, _ in found] == sorted(SCORES)
    assert [attributes["score"] for attributes, _ in found] == sorted(SCORES)
    assert {area for _, area in found} == {mask.sum()}
