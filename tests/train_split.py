"""A train split drawn at random: the stores that ``tune`` and ``train`` read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pipeline.vocabulary import MODELS, N_PROPOSALS, TRAIN_PROMPTS
from storage.layout import features_path, objects_path
from storage.objects import ObjectTable, objects_digest, write_objects
from storage.schema import SCHEMA
from storage.stores import create_store, write_array

SPLIT = "shapes_train"
N_OBJECTS = 40
OBJECTS_AN_IMAGE = 2
N_CHANNELS = 6
TUNE = {
    "seed": 0,
    "n_trials": 0,
    "max_objects": None,
    "epochs": 2,
    "batch_size": 16,
    "learning_rate": 0.05,
    "momentum": 0.5,
}


def write_params(**changes: Any) -> None:  # noqa: ANN401
    """Settings of ``tune`` and ``train``; ``changes`` of the tune block or of whole entries."""
    where = {"reader": "coco", "images": "data", "annotations": "data.json"}
    params = {
        "models": list(MODELS),
        "views": ["identity"],
        "eval_splits": [],
        "train_splits": [SPLIT],
        "splits": {SPLIT: where},
        "tune": TUNE | {key: value for key, value in changes.items() if key in TUNE},
        "train": {"seed": 0},
    }
    params |= {key: value for key, value in changes.items() if key not in TUNE}
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def object_table(n_objects: int = N_OBJECTS) -> ObjectTable:
    """Objects of images that no test reads."""
    n_images = -(-n_objects // OBJECTS_AN_IMAGE)
    return ObjectTable(
        file=np.array([f"{i}.png" for i in range(n_images)], dtype=object),
        height_px=np.full(n_images, 8, np.int32),
        width_px=np.full(n_images, 8, np.int32),
        image_sha256=np.array(["0"] * n_images, dtype=object),
        image_index=(np.arange(n_objects) // OBJECTS_AN_IMAGE).astype(np.int32),
        object_id=np.arange(n_objects),
        area_px=np.full(n_objects, 12),
        box_px=np.zeros((n_objects, 4), np.float32),
        mask_rle=np.array(["x"] * n_objects, dtype=object),
        point_px=np.zeros((n_objects, 8, 2), np.int32),
    )


def write_features(model: str, prompts: Sequence[str] = TRAIN_PROMPTS, **changes: Any) -> None:  # noqa: ANN401
    """Features of one model; its arrays, or entries of its signature, may be changed."""
    rng = np.random.default_rng(MODELS.index(model))
    size = (N_OBJECTS, len(prompts))
    iou = rng.random((*size, N_PROPOSALS), np.float32)
    arrays: dict[str, Any] = {
        "iou": iou,
        "sam_score": np.clip(iou + rng.normal(0, 0.1, iou.shape), 0, 1).astype(np.float32),
        "iou_token": rng.normal(size=(*size, N_CHANNELS)).astype(np.float32),
        "mask_token": rng.normal(size=(*size, 4, N_CHANNELS)).astype(np.float32),
        "object_score": np.ones(size, np.float32),
        "images_sha256": ["0"],
        "done": np.ones(1, bool),
    }
    # The true IoU shows in the tokens, so that heads may learn it.
    arrays["iou_token"][..., 0] = iou.max(axis=2)
    arrays |= {name: changes.pop(name) for name in tuple(changes) if name in arrays}
    digest = objects_digest(object_table())
    signature = {
        "extract_version": 1,
        "family": "mini",
        "precision": "fp32",
        "objects_digest": digest,
        "weights": f"of {model}",
    }
    group = create_store(
        features_path(SPLIT, model, "identity"),
        "features",
        {"channel": N_CHANNELS},
        signature={**signature, "model": model, **changes},
        coords={"object_id": np.arange(N_OBJECTS), "prompt": list(prompts)},
        shard_objects=64,
    )
    for name, values in arrays.items():
        write_array(group, name, SCHEMA["features"][name], values)


def write_split() -> None:
    """Everything that ``tune`` and ``train`` read, into the working directory."""
    write_params()
    write_objects(objects_path(SPLIT), object_table(), {"group": "image"})
    for model in MODELS:
        write_features(model)
