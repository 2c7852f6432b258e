"""Real images of COCO through the pipeline, by a change of ``params.yaml`` alone.

Every array of some objects is held to what the official predictor says of one prompt at a time.
The models at full size take minutes: ``make test-full``.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline.sam.building import build
from pipeline.sam.families import models_of
from pipeline.vocabulary import objectives_of
from stages import extract, extract_train, prepare
from storage.paths import features_path
from storage.store import opening
from tests.fixtures.extract_project import run
from tests.fixtures.official import OfficialPredictor, check_cell
from tests.fixtures.settings import view_settings, write_versions

ROOT = Path(__file__).parents[3]
COCO = ROOT.parent / "shared" / "samples" / "COCO"

N_OBJECTS = 20
"""Objects of each split: more than any training image has, so that heads can learn from two."""

N_COMPARED = 3

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not COCO.exists(), reason="needs the COCO samples"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning"),
]


FULL_SIZE = [
    pytest.param(name, marks=pytest.mark.full_size)
    for name in ("sam2.1", "edgetam", "sam3", "sam3.1")
]


@pytest.fixture(params=["mini", *FULL_SIZE])
def family(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder with nothing but the settings, changed from the repository's."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params |= {
        "models": list(models_of(request.param)),
        "objectives": list(objectives_of(models_of(request.param))),
        "views": view_settings("identity"),
        "eval_splits": ["coco_val"],
        "train_splits": ["coco_train"],
    }
    params["splits"] = {
        f"coco_{role}": {
            "reader": "coco",
            "images": str(COCO / f"{role}2017"),
            "annotations": str(COCO / "annotations" / f"instances_{role}2017.json"),
            "max_objects": N_OBJECTS,
        }
        for role in ("train", "val")
    }
    params["extract"] |= {"family": request.param, "weights": "random-0", "device": "cpu"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    write_versions(tmp_path)
    monkeypatch.chdir(tmp_path)
    return str(request.param)


def test_the_stores_hold_what_the_official_predictor_says(family: str) -> None:
    run(prepare, "coco_val")
    run(prepare, "coco_train")
    for model in models_of(family)[: 1 if family == "mini" else None]:
        run(extract, "coco_val", model, "identity")
        run(extract_train, "coco_train", model, "identity")
        features = opening.open_features(features_path("coco_val", model, "identity"))
        assert features.sizes["object"] == N_OBJECTS
        official = OfficialPredictor(build(family, model, seed=0).eval())
        rows = np.linspace(0, N_OBJECTS - 1, N_COMPARED).astype(int)
        check_cell(("coco_val", model, "identity"), COCO / "val2017", official, rows)
        train = opening.open_features(features_path("coco_train", model, "identity"))
        assert train.sizes["object"] == N_OBJECTS
        shutil.rmtree("cache/pool")
