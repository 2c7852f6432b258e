"""A small project in the working directory: drawn images, their settings, stages run in-process."""

import json
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline.sam import Embedding, Sam
from pipeline.scenes import draw_scene
from pipeline.vocabulary import MODELS
from stages import extract, prepare
from storage.layout import CACHE, objects_path
from storage.objects import read_objects
from storage.rle import encode_rle

SPLIT = "drawn"
TRAIN_SPLIT = "taught"
"""The same images once more, for heads to learn from."""

CELL = (SPLIT, "tiny", "identity")

IMAGES = Path("images")
SIZES_PX = {
    "square.png": (96, 96),
    "tall.png": (160, 96),
    "wide.jpg": (96, 128),
    "large.png": (256, 224),
    "small.png": (64, 64),
}
"""Height and width of the images, in the order of the split; no two alike."""

SHARD_OBJECTS = 8
EXTRACT: dict[str, Any] = {
    "version": 1,
    "family": "mini",
    "weights": "random",
    "weights_seed": 0,
    "precision": "fp32",
    "noise_seed": 0,
    "decoder_batch": "auto",
    "shard_objects": SHARD_OBJECTS,
    "device": "cpu",
}


def draw_project(*, n_objects: int = 4, **settings: object) -> None:
    """Draw the images, annotate up to ``n_objects`` an image, and prepare both splits.

    The first image has an object of one pixel besides.
    """
    IMAGES.mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for place, (file, (height, width)) in enumerate(SIZES_PX.items()):
        scene = draw_scene(place, max(height, width))
        Image.fromarray(scene.rgb[:height, :width]).save(IMAGES / file)
        images.append({"id": place, "file_name": file, "height": height, "width": width})
        seen = [mask for mask in scene.masks[:, :height, :width] if mask.any()][:n_objects]
        for mask in [*seen, *([_one_pixel(height, width)] if place == 0 else [])]:
            counts = {"size": [height, width], "counts": encode_rle(mask)}
            item = {"id": len(annotations), "image_id": place, "segmentation": counts}
            annotations.append(item)
    content = {"images": images, "annotations": annotations}
    Path("annotations.json").write_text(json.dumps(content), encoding="utf-8")
    write_params(**settings)
    prepare_splits()


def write_params(**settings: object) -> None:
    """Write the settings, with changes in the block ``extract``."""
    place = {"reader": "coco", "images": str(IMAGES), "annotations": "annotations.json"}
    params = {
        "models": list(MODELS),
        "views": ["identity", "vflip", "gnoise"],
        "eval_splits": [SPLIT],
        "train_splits": [TRAIN_SPLIT],
        "splits": {SPLIT: place, TRAIN_SPLIT: place},
        "prepare": {"seed": 0, "min_area_px": 1},
        "extract": EXTRACT | settings,
    }
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def prepare_splits() -> None:
    """Take the images as they are now."""
    run(prepare, SPLIT)
    run(prepare, TRAIN_SPLIT)


def run(stage: ModuleType, *arguments: str) -> None:
    """Run a stage as DVC does, save that it is in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [stage.__name__, *arguments])
        stage.main()


def refused(capsys: pytest.CaptureFixture[str], *cell: str) -> str:
    """Run ``extract``, which has to fail with one line and publish nothing; gives the error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        run(extract, *(cell or CELL))
    assert ended.value.code == 1
    *told, last = capsys.readouterr().err.splitlines()
    assert last.startswith("error: ")
    assert not any(line.startswith(("error", "Traceback")) for line in told)
    assert not outputs()
    return last.removeprefix("error: ")


@contextmanager
def encoded_images() -> Iterator[list[str]]:
    """Names of the images that a model encodes meanwhile, in their order."""
    files = {size_px: file for file, size_px in SIZES_PX.items()}
    seen: list[str] = []
    encode = Sam.encode

    def spy(sam: Sam, rgb: np.ndarray) -> Embedding:
        seen.append(files[rgb.shape[0], rgb.shape[1]])
        return encode(sam, rgb)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sam, "encode", spy)
        yield seen


def outputs() -> dict[str, bytes]:
    """Every published file and its bytes."""
    return files_of(CACHE / "features") | files_of(CACHE / "masks")


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder and its bytes."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def done_shards() -> list[int]:
    """Shards of the work on ``CELL`` that have their last mark, whatever the signature."""
    marks = CACHE.joinpath("work", *CELL).glob("*/features.zarr/done/c.*")
    return sorted(int(mark.suffix[1:]) for mark in marks if mark.suffix != ".partial")


def images_without(done: Collection[int], shard_objects: int = SHARD_OBJECTS) -> list[str]:
    """Names of the images that have objects in other shards than these."""
    table = read_objects(objects_path(SPLIT))
    shards = np.arange(table.n_objects) // shard_objects
    left = table.image_index[~np.isin(shards, list(done))]
    return [str(table.file[image]) for image in np.unique(left)]


def _one_pixel(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[height // 3, width // 3] = True
    return mask
