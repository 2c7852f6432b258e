"""Eval splits drawn at random: the stores and heads that ``evaluate`` reads."""

import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.measures import ENTROPY_MEASURES
from pipeline.vocabulary import MODELS, N_PROPOSALS, OBJECTIVES, PROMPTS, TOKEN_SETS
from stages import evaluate
from storage.heads import write_head
from storage.layout import entropy_path, features_path, head_path, objects_path
from storage.objects import ObjectTable, objects_digest, write_objects
from storage.opening import open_features
from storage.provenance import cells_digest
from storage.schema import SCHEMA
from storage.stores import create_store, write_array, write_store

SPLITS = ("shapes_val", "coco_val")
TRAIN_SPLITS = ["shapes_train", "coco_train"]

CHANNELS = 8
VIEWS = ("vflip", "identity")
SHARED = {"extract_version": 1, "family": "mini", "precision": "fp32"}
SHARED_ENTROPIES = ("h_y", "h_theta")


def write_params(root: Path, eval_splits: Sequence[str], **changes: object) -> None:
    """Settings of ``evaluate`` and ``report`` alone."""
    train_splits = changes.get("train_splits", ["shapes_train"])
    assert isinstance(train_splits, list)
    where = {"reader": "coco", "images": "data", "annotations": "data.json"}
    params = {
        "models": list(MODELS),
        "views": list(VIEWS),
        "eval_splits": list(eval_splits),
        "train_splits": train_splits,
        "splits": dict.fromkeys([*eval_splits, *train_splits], where),
        "evaluate": {"n_curve_points": 21, "n_resamples": 20, "seed": 0},
        "report": {"title": "A test"},
    }
    (root / "params.yaml").write_text(yaml.safe_dump(params | changes), encoding="utf-8")


def object_table(n_objects: int) -> ObjectTable:
    """Objects of a split, three an image."""
    n_images = -(-n_objects // 3)
    text = np.dtypes.StringDType()
    return ObjectTable(
        file=np.array([f"{i:04}.png" for i in range(n_images)], text),
        height_px=np.full(n_images, 8, np.int32),
        width_px=np.full(n_images, 9, np.int32),
        image_sha256=np.array(["0"] * n_images, text),
        image_index=np.arange(n_objects, dtype=np.int32) // 3,
        object_id=np.arange(n_objects) + 7,
        area_px=np.ones(n_objects, np.int64),
        box_px=np.ones((n_objects, 4), np.float32),
        mask_rle=np.array(["0"] * n_objects, text),
        point_px=np.ones((n_objects, 8, 2), np.int32),
    )


def draw_iou(rng: np.random.Generator, n_objects: int, skill: float) -> np.ndarray:
    """IoU (object, prompt, proposal), the refined prompt and larger skill being better."""
    iou = rng.beta(2 + 3 * skill, 2, (n_objects, len(PROMPTS), N_PROPOSALS))
    iou[:, PROMPTS.index("refined")] **= 0.6
    return iou.astype(np.float32)


def write_features(
    root: Path, split: str, model: str, n_objects: int, view: str = "identity", **changes: object
) -> None:
    """Features of one cell; what is drawn follows from the names, not from the order of calls."""
    rng = np.random.default_rng([len(split), MODELS.index(model), *view.encode()])
    iou = draw_iou(rng, n_objects, MODELS.index(model) / 3)
    n_prompts = len(PROMPTS)
    iou_token = rng.normal(size=(n_objects, n_prompts, CHANNELS)).astype(np.float32)
    # The true IoU shows in the tokens, so that heads may know something.
    iou_token[..., 0] = iou.max(axis=2) * 4 - 2
    arrays: dict[str, Any] = {
        "iou": iou,
        "sam_score": np.clip(iou + rng.normal(0, 0.2, iou.shape), 0, 1).astype(np.float32),
        "iou_token": iou_token,
        "mask_token": rng.normal(size=(n_objects, n_prompts, 4, CHANNELS)).astype(np.float32),
        "object_score": np.ones((n_objects, n_prompts), np.float32),
        "images_sha256": ["0"] * -(-n_objects // 64),
        "done": np.ones(-(-n_objects // 64), bool),
    }
    digest = objects_digest(object_table(n_objects))
    signature = {**SHARED, "objects_digest": digest, "weights": f"of {model}"}
    group = create_store(
        root / features_path(split, model, view),
        "features",
        {"channel": CHANNELS},
        signature=signature | changes,
        coords={"object_id": np.arange(n_objects) + 7, "prompt": PROMPTS},
        shard_objects=64,
    )
    for name, values in arrays.items():
        write_array(group, name, SCHEMA["features"][name], values)


def write_entropy(
    root: Path,
    split: str,
    n_objects: int,
    models: Sequence[str] = MODELS,
    views: Sequence[str] = VIEWS,
    **changes: object,
) -> None:
    """Entropies drawn at random, as if computed from the features that are there."""
    cells = {
        (model, view): open_features(root / features_path(split, model, view))
        for model in models
        for view in views
    }
    signature = {
        **SHARED,
        "objects_digest": objects_digest(object_table(n_objects)),
        "cells_digest": cells_digest(cells),
        **changes,
    }
    rng = np.random.default_rng(len(split))
    entropies = {
        name: rng.random(
            (n_objects,) if name in SHARED_ENTROPIES else (n_objects, len(models)), np.float32
        )
        for name in ENTROPY_MEASURES
    }
    write_store(
        root / entropy_path(split),
        "entropy",
        {**entropies, "object_id": np.arange(n_objects) + 7, "model": list(models)},
        signature=signature,
    )


def write_heads(root: Path, train_split: str, family: str = "mini", tokens: str = "best") -> None:
    """Nine small heads, not trained, save that ``iou_*`` read the IoU from the tokens."""
    for i, objective in enumerate(OBJECTIVES):
        metadata = {"objective": objective, "split": train_split}
        metadata |= {key: str(value) for key, value in SHARED.items()} | {"family": family}
        metadata |= {f"weights_{model}": f"of {model}" for model in MODELS}
        tensors = draw_head(i + len(train_split))
        write_head(root / head_path(train_split, objective, tokens), tensors, metadata)


def draw_head(seed: int, hidden: int = 16) -> Mapping[str, np.ndarray]:
    """Tensors of an MLP whose output rises with the first input."""
    rng = np.random.default_rng(seed)
    widths = (2 * CHANNELS, hidden, hidden, 1)
    tensors = {}
    for layer, (n_in, n_out) in enumerate(pairwise(widths)):
        weight = rng.normal(0, 0.05, (n_out, n_in)).astype(np.float32)
        weight[0, 0] = 1
        tensors[f"layers.{layer}.weight"] = weight
        tensors[f"layers.{layer}.bias"] = np.full(n_out, 0.5 if layer < 2 else -1, np.float32)
    return tensors


def write_split(root: Path, split: str, n_objects: int = 150) -> None:
    """Everything that ``evaluate`` reads, heads apart."""
    write_objects(root / objects_path(split), object_table(n_objects), {"group": "image"})
    for model in MODELS:
        for view in VIEWS:
            write_features(root, split, model, n_objects, view)
    write_entropy(root, split, n_objects)


def evaluate_splits(root: Path) -> None:
    """Make a repository whose two eval splits are evaluated with two train splits' heads."""
    write_params(root, SPLITS, train_splits=TRAIN_SPLITS, tokens=list(TOKEN_SETS))
    for train_split, tokens in product(TRAIN_SPLITS, TOKEN_SETS):
        write_heads(root, train_split, tokens=tokens)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for n_objects, split in zip((60, 90), SPLITS, strict=True):
            write_split(root, split, n_objects)
            patch.setattr(sys, "argv", ["evaluate", split])
            evaluate.main()
