"""Eval splits drawn at random: the stores and heads that ``evaluate`` reads."""

import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.measures import ENTROPY_MEASURES
from pipeline.vocabulary import MODELS, N_PROPOSALS, OBJECTIVES, PROMPTS
from stages import evaluate
from storage.heads import write_head
from storage.layout import entropy_path, features_path, head_path
from storage.schema import SCHEMA
from storage.stores import create_store, write_array, write_store

SPLITS = ("shapes_val", "coco_val")
TRAIN_SPLITS = ["shapes_train", "coco_train"]

CHANNELS = 8
SHARED = {"family": "mini", "precision": "fp32"}
SHARED_ENTROPIES = ("h_y", "h_theta")


def write_params(root: Path, eval_splits: Sequence[str], **changes: object) -> None:
    """Settings of ``evaluate`` and ``report`` alone."""
    train_splits = changes.get("train_splits", ["shapes_train"])
    assert isinstance(train_splits, list)
    where = {"reader": "coco", "images": "data", "annotations": "data.json"}
    params = {
        "models": list(MODELS),
        "views": ["identity"],
        "eval_splits": list(eval_splits),
        "train_splits": train_splits,
        "splits": dict.fromkeys([*eval_splits, *train_splits], where),
        "evaluate": {"n_curve_points": 21},
        "report": {"title": "A test"},
    }
    (root / "params.yaml").write_text(yaml.safe_dump(params | changes), encoding="utf-8")


def draw_iou(rng: np.random.Generator, n_objects: int, skill: float) -> np.ndarray:
    """IoU (object, prompt, proposal), the refined prompt and larger skill being better."""
    iou = rng.beta(2 + 3 * skill, 2, (n_objects, len(PROMPTS), N_PROPOSALS))
    iou[:, PROMPTS.index("refined")] **= 0.6
    return iou.astype(np.float32)


def write_features(root: Path, split: str, model: str, n_objects: int, **changes: str) -> None:
    """Features of one model; what is drawn follows from the names, not from the order of calls."""
    rng = np.random.default_rng([len(split), MODELS.index(model)])
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
    signature = {**SHARED, "objects_digest": f"of {split}", "weights_sha256": model}
    group = create_store(
        root / features_path(split, model, "identity"),
        "features",
        {"channel": CHANNELS},
        signature=signature | changes,
        coords={"object_id": np.arange(n_objects) + 7, "prompt": PROMPTS},
        shard_objects=64,
    )
    for name, values in arrays.items():
        write_array(group, name, SCHEMA["features"][name], values)


def write_entropy(root: Path, split: str, n_objects: int, models: Sequence[str] = MODELS) -> None:
    """Entropies drawn at random."""
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
        signature={**SHARED, "objects_digest": f"of {split}"},
    )


def write_heads(root: Path, train_split: str, family: str = "mini") -> None:
    """Nine small heads, not trained, save that ``iou_*`` read the IoU from the tokens."""
    for i, objective in enumerate(OBJECTIVES):
        metadata = {"objective": objective, "split": train_split, "family": family}
        tensors = draw_head(i + len(train_split))
        write_head(root / head_path(train_split, objective), tensors, metadata)


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
    for model in MODELS:
        write_features(root, split, model, n_objects)
    write_entropy(root, split, n_objects)


def evaluate_splits(root: Path) -> None:
    """Make a repository whose two eval splits are evaluated with two train splits' heads."""
    write_params(root, SPLITS, train_splits=TRAIN_SPLITS)
    for train_split in TRAIN_SPLITS:
        write_heads(root, train_split)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for n_objects, split in zip((60, 90), SPLITS, strict=True):
            write_split(root, split, n_objects)
            patch.setattr(sys, "argv", ["evaluate", split])
            evaluate.main()
