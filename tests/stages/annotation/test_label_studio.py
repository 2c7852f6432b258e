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
from stages.predictor.loading import load_predictor
from stages.settings.parsing import ParamsError
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.predictors import NO_BEST, drawn, random_heads

HEIGHT, WIDTH = drawn().shape[:2]

NAMES = {"from_name": "brush", "to_name": "image"}


def painted(rle: list[int]) -> np.ndarray:
    """Mask of run lengths, as Label Studio's page unpacks them."""
    bits = "".join(f"{byte:08b}" for byte in rle)
    place = 0

    def read(n_bits: int) -> int:
        nonlocal place
        place += n_bits
        return int(bits[place - n_bits : place], 2)

    n_values, n_bits = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < n_values:
        is_run, length = read(1), read(sizes[read(2)]) + 1
        values += [read(n_bits)] * length if is_run else [read(n_bits) for _ in range(length)]
    pixels = np.array(values).reshape(-1, 4)
    assert (pixels == pixels[:, :1]).all()
    assert set(np.unique(pixels)) <= {0, 255}
    return pixels[:, 3] > 0


@pytest.mark.parametrize("size_px", [(1, 1), (5, 7), (300, 400)])
@pytest.mark.parametrize("share", [0, 0.001, 0.5, 1])
def test_brushes_paint_the_pixels_of_a_mask(size_px: tuple[int, int], share: float) -> None:
    mask = np.random.default_rng(0).random(size_px) < share
    np.testing.assert_array_equal(painted(brush_rle(mask)).reshape(size_px), mask)


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
    ("marks", "prompt", "masks"),
    [
        ([click(120, 80)], {"point_coords": [[120, 80]], "point_labels": [1]}, "selected"),
        ([click(180, 90)], {"point_coords": [[180, 90]], "point_labels": [1]}, "best"),
        (
            [click(30, 150, is_positive=0), click(120, 80)],
            {"point_coords": [[30, 150], [120, 80]], "point_labels": [0, 1]},
            "selected",
        ),
        ([box(40, 30, 200, 150)], {"box": [40, 30, 200, 150]}, "selected"),
    ],
    ids=["click", "the best", "background", "box"],
)
def test_a_region_is_the_selected_mask_or_the_best_with_its_expected_iou(
    predictor: UncertainPredictor,
    photo: Path,
    marks: list[dict[str, Any]],
    prompt: dict[str, Any],
    masks: str,
) -> None:
    (one,) = predictions(predictor, photo, {"result": marks}, **NAMES, masks=masks)
    (region,) = one["result"]
    predictor.set_image(drawn())
    found = predictor.predict_uncertainty(**prompt)
    taken = found.best_mask if masks == "best" else found.mask_of(found.selected)
    assert taken.is_own_mask(found.selected) == (masks != "best")
    np.testing.assert_array_equal(painted(region["value"].pop("rle")), taken.mask.ravel())
    assert region.pop("id")
    assert one["score"] == region.pop("score") == pytest.approx(taken.expected_iou, abs=1e-5)
    assert region == {
        "from_name": "brush",
        "to_name": "image",
        "type": "brushlabels",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {"format": "rle", "brushlabels": ["cell"]},
    }


def test_nothing_is_found_before_anything_is_marked(
    predictor: UncertainPredictor, photo: Path
) -> None:
    assert predictions(predictor, photo, None, **NAMES) == []
    assert predictions(predictor, photo, {"result": []}, **NAMES) == []


def test_heads_that_judge_single_masks_give_no_best_mask(
    predictor: UncertainPredictor, photo: Path
) -> None:
    judging = UncertainPredictor(predictor.sam, random_heads())
    with pytest.raises(ParamsError, match=NO_BEST):
        predictions(judging, photo, None, **NAMES, masks="best")


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
    assert any(one["result"][0]["value"]["rle"])
