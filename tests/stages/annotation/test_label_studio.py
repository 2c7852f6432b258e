"""Label Studio's backend: requests as it sends them in, predictions as it reads them out."""

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.predictor import UncertainPredictor
from stages.annotation.label_studio import brush_rle, predictions
from stages.predictor import load_predictor
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.predictors import drawn

HEIGHT, WIDTH = drawn().shape[:2]

NAMES = {"from_name": "brush", "to_name": "image"}


def unpacked(rle: list[int], height: int, width: int) -> np.ndarray:
    """The mask of a brush, bit by bit as the readers of the format go."""
    bits = "".join(f"{byte:08b}" for byte in rle)
    position = 0

    def read(n: int) -> int:
        nonlocal position
        position += n
        return int(bits[position - n : position], 2)

    n_values, word_bits = read(32), read(5) + 1
    widths = [read(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < n_values:
        is_run = read(1)
        length = read(widths[read(2)]) + 1
        values += [read(word_bits)] * length if is_run else [read(word_bits) for _ in range(length)]
    assert len(values) == n_values
    assert len(bits) - position < 8
    pixels = np.array(values).reshape(height, width, 4)
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 3] > 0


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 1])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (130, 129), (300, 250)])
def test_a_brush_is_the_mask(size: tuple[int, int], share: float) -> None:
    mask = np.random.default_rng(0).random(size) < share
    np.testing.assert_array_equal(unpacked(brush_rle(mask), *size), mask)


def test_a_brush_is_the_bytes_that_the_format_says() -> None:
    # 8 values of 8 bits in runs of 16-bit lengths: four of 0, four of 255.
    head = (f"{8:032b}", f"{7:05b}", 4 * "1111")
    first, second = (f"111{3:016b}{value:08b}" for value in (0, 255))
    whole = "".join((*head, first, second))
    whole += -len(whole) % 8 * "0"
    expected = [int(whole[i : i + 8], 2) for i in range(0, len(whole), 8)]
    assert brush_rle(np.array([[False, True]])) == expected


def click(x: float, y: float, *, is_positive: int = 1) -> dict[str, Any]:
    """A click in pixels, as Label Studio sends it."""
    return {
        "type": "keypointlabels",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "is_positive": is_positive,
        "value": {
            "x": 100 * x / WIDTH,
            "y": 100 * y / HEIGHT,
            "width": 0.3,
            "keypointlabels": ["cell"],
        },
    }


def box(left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    value = {
        "x": 100 * left / WIDTH,
        "y": 100 * top / HEIGHT,
        "width": 100 * (right - left) / WIDTH,
        "height": 100 * (bottom - top) / HEIGHT,
        "rectanglelabels": ["cell"],
    }
    return {"type": "rectanglelabels", "value": value}


@pytest.fixture(scope="module")
def predictor() -> UncertainPredictor:
    return load_predictor("mini", "tiny")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(drawn()).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.parametrize(
    ("marks", "prompt"),
    [
        ([click(120, 80)], {"point_coords": [[120, 80]], "point_labels": [1]}),
        (
            [click(30, 150, is_positive=0), click(120, 80)],
            {"point_coords": [[30, 150], [120, 80]], "point_labels": [0, 1]},
        ),
        ([box(40, 30, 200, 150)], {"box": [40, 30, 200, 150]}),
    ],
    ids=["click", "background", "box"],
)
def test_a_region_is_the_selected_mask_with_its_expected_iou(
    predictor: UncertainPredictor,
    photo: Path,
    marks: list[dict[str, Any]],
    prompt: dict[str, Any],
) -> None:
    (one,) = predictions(predictor, photo, {"result": marks}, **NAMES)
    (region,) = one["result"]
    predictor.set_image(drawn())
    found = predictor.predict_uncertainty(**prompt)
    k = found.selected
    np.testing.assert_array_equal(
        unpacked(region["value"].pop("rle"), HEIGHT, WIDTH), found.masks[k]
    )
    assert region.pop("id")
    assert one["score"] == region.pop("score") == pytest.approx(found.expected_iou.own[k], abs=1e-5)
    assert region == {
        "from_name": "brush",
        "to_name": "image",
        "type": "brushlabels",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {"format": "rle", "brushlabels": ["cell"]},
    }


@pytest.mark.parametrize("context", [None, {}, {"result": []}], ids=str)
def test_nothing_is_found_before_anything_is_marked(
    predictor: UncertainPredictor, photo: Path, context: dict[str, Any] | None
) -> None:
    assert predictions(predictor, photo, context, **NAMES) == []


def test_the_backend_of_the_docs_answers(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the parts of Label Studio's packages that it names, which bring a server of theirs."""

    class Base:
        def get_first_tag_occurence(self, control: str, of: str) -> tuple[str, str, str]:
            assert (control, of) == ("BrushLabels", "Image")
            return "brush", "image", "photo"

        def get_local_path(self, url: str, *, task_id: int) -> str:
            assert (url, task_id) == ("/data/upload/1.png", 7)
            return str(photo)

    packages: dict[str, dict[str, Any]] = {
        "label_studio_ml": {},
        "label_studio_ml.model": {"LabelStudioMLBase": Base},
        "label_studio_ml.response": {"ModelResponse": SimpleNamespace},
    }
    for name, own in packages.items():
        module = ModuleType(name)
        vars(module).update(own)
        monkeypatch.setitem(sys.modules, name, module)
    page = (ROOT / "docs" / "annotate.md").read_text("utf-8")
    (code,) = re.findall(
        r"^```python\n(from label_studio_ml.*?)^```", page, re.DOTALL | re.MULTILINE
    )
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - that of the docs
    tasks = [{"id": 7, "data": {"photo": "/data/upload/1.png"}}]
    response = names["NewModel"]().predict(tasks, context={"result": [click(120, 80)]}, login="x")
    (one,) = response.predictions
    assert unpacked(one["result"][0]["value"]["rle"], HEIGHT, WIDTH).any()
