"""Real images of COCO through the pipeline, by a change of ``params.yaml`` alone.

Every array of some objects is held to what the official predictor says of one prompt at a time.
The models at full size take minutes: ``make test-full``.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import storage
from pipeline.masks import encode
from pipeline.sam.building import build
from pipeline.sam.families import models_of
from pipeline.vocabulary import PROMPTS
from stages import extract, extract_train, prepare
from storage.images.files import read_rgb
from storage.paths import features_path, masks_path, objects_path
from storage.rle import decode_rle
from storage.split.objects import read_objects
from tests.fixtures.official import OfficialPredictor
from tests.fixtures.settings import view_settings, write_versions

ROOT = Path(__file__).parents[3]
COCO = ROOT.parent / "shared" / "samples" / "COCO"

N_OBJECTS = {"mini": 20, "sam2.1": 20, "edgetam": 20, "sam3": 4}
"""Of each split: an image takes SAM 3 half a minute on two cores."""

N_COMPARED = 3

pytestmark = [
    pytest.mark.skipif(not COCO.exists(), reason="needs the COCO samples"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning"),
]


FULL_SIZE = [pytest.param(name, marks=pytest.mark.full_size) for name in list(N_OBJECTS)[1:]]


@pytest.fixture(params=["mini", *FULL_SIZE])
def family(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder with nothing but the settings, changed from the repository's."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params |= {
        "views": view_settings("identity"),
        "eval_splits": ["coco_val"],
        "train_splits": ["coco_train"],
    }
    params["splits"] = {
        f"coco_{role}": {
            "reader": "coco",
            "images": str(COCO / f"{role}2017"),
            "annotations": str(COCO / "annotations" / f"instances_{role}2017.json"),
            "max_objects": N_OBJECTS[request.param],
        }
        for role in ("train", "val")
    }
    params["extract"] |= {"family": request.param, "weights": "random-0", "device": "cpu"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    write_versions(tmp_path)
    monkeypatch.chdir(tmp_path)
    return str(request.param)


def test_the_stores_hold_what_the_official_predictor_says(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, prepare, "coco_val")
    run(monkeypatch, prepare, "coco_train")
    for model in models_of(family)[: 1 if family == "mini" else None]:
        run(monkeypatch, extract, "coco_val", model, "identity")
        run(monkeypatch, extract_train, "coco_train", model)
        check_cell(family, model)
        train = storage.open_features(features_path("coco_train", model, "identity"))
        assert train.sizes["object"] == N_OBJECTS[family]
        shutil.rmtree("cache/pool")


def run(monkeypatch: pytest.MonkeyPatch, stage: object, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["stage", *arguments])
    stage.main()  # type: ignore[attr-defined]


def check_cell(family: str, model: str) -> None:
    table = read_objects(objects_path("coco_val"))
    # Opening refuses a store that is not complete.
    features = storage.open_features(features_path("coco_val", model, "identity"))
    codes = storage.open_masks(masks_path("coco_val", model, "identity"))["mask_code"]
    assert features.sizes["object"] == codes.sizes["object"] == table.n_objects == N_OBJECTS[family]
    official = OfficialPredictor(build(family, model, seed=0).eval())
    for row in np.linspace(0, table.n_objects - 1, N_COMPARED).astype(int):
        image = table.image_index[row]
        height, width = int(table.height_px[image]), int(table.width_px[image])
        path = COCO / "val2017" / str(table.file[image])
        official.set_image(read_rgb(path, height_px=height, width_px=width))
        truth = decode_rle(str(table.mask_rle[row]), height, width)
        for column in range(len(PROMPTS)):
            points = table.point_px[row]
            clicks = points if column == 8 else points[column : column + 1]
            said = official.predict(clicks, truth)
            for name in ("sam_score", "iou_token", "mask_token", "object_score", "iou"):
                found = features[name][row, column].to_numpy()
                np.testing.assert_allclose(found, said[name], atol=1e-3, err_msg=name)
            code = encode(1 / (1 + np.exp(-said["logits"].astype(np.float64))))
            assert np.abs(codes[row, column].to_numpy().astype(int) - code).max() <= 1
