"""Golden masks of a few objects, and their entropies by stage ``entropy``."""

import sys
import tempfile
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from pipeline.masks import encode
from pipeline.vocabulary import N_PROPOSALS, PROMPTS
from stages import entropy
from storage.paths import entropy_path, objects_path
from storage.rle import encode_rle
from storage.split.object_table import ObjectTable, write_objects
from storage.store import opening
from tests.fixtures.drawn_masks import held_rows
from tests.fixtures.made_up_objects import object_table
from tests.fixtures.settings import view_settings, write_settings
from tests.fixtures.signatures import EXTRACT
from tests.fixtures.split_cells import write_cell
from tests.golden.golden import Arrays, Golden, off_by

SPLIT: Final = "golden"
MODELS: Final = ("tiny", "large")
VIEWS: Final = ("identity", "jpeg10")
N_OBJECTS: Final = 4
SIDE_PX: Final = 16
IMAGE_PX: Final = (20, 24)
"""Height and width of the images: not the shape of the masks."""

ATOL: Final = 1e-5


def draw_inputs() -> dict[str, np.ndarray]:
    """Soft discs of random size around the place of each object, and ground truths."""
    rng = np.random.default_rng(0)
    place = rng.uniform(0.3, 0.7, (N_OBJECTS, 2))
    size = (len(MODELS), len(VIEWS), N_OBJECTS, len(PROMPTS), N_PROPOSALS)
    centre = place[:, None, None] + rng.normal(0, 0.05, (*size, 2))
    logit = 25 * (rng.uniform(0.1, 0.4, size)[..., None, None] - _distance(centre, SIDE_PX))
    return {
        "mask_code": encode(1 / (1 + np.exp(-logit))),
        "sam_score": rng.uniform(0.2, 1, size).astype(np.float32),
        "iou": rng.uniform(0, 1, size).astype(np.float32),
        "truth": _distance(place, *IMAGE_PX) < rng.uniform(0.15, 0.3, (N_OBJECTS, 1, 1)),
    }


def _distance(centre: np.ndarray, height: int, width: int | None = None) -> np.ndarray:
    """Distance of each pixel from places ``(..., 2)``, y and x, in sides of the image."""
    y, x = (np.arange(n) / n for n in (height, width or height))
    off_y, off_x = y - centre[..., 0, None], x - centre[..., 1, None]
    distance: np.ndarray = np.hypot(off_y[..., :, None], off_x[..., None, :])
    return distance


def compute(inputs: Arrays) -> dict[str, np.ndarray]:
    """Every float array that the stage writes, named ``entropy/<array>``."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        _write_split(inputs)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["entropy", SPLIT])
            entropy.main()
        store = opening.open_entropy(entropy_path(SPLIT)).load()
    return {
        f"entropy/{name}": values.to_numpy()
        for name, values in store.data_vars.items()
        if values.dtype == np.float32
    }


def _write_split(inputs: Arrays) -> None:
    table = _objects(inputs["truth"])
    write_objects(objects_path(SPLIT), table, {"split": SPLIT})
    for i, model in enumerate(MODELS):
        for k, view in enumerate(VIEWS):
            rows = (inputs[name][i, k] for name in ("mask_code", "sam_score", "iou"))
            write_cell((SPLIT, model, view), held_rows(*rows), shard_objects=2, table=table)
    write_settings(
        Path(),
        models=list(MODELS),
        views=view_settings(*VIEWS),
        eval_splits=[SPLIT],
        train_splits=[],
        splits={SPLIT: {"reader": "coco", "images": ".", "annotations": "none"}},
        extract=EXTRACT | {"shard_objects": 2},
    )


def _objects(truth: np.ndarray) -> ObjectTable:
    table = object_table(len(truth))
    height, width = truth.shape[1:]
    return replace(
        table,
        height_px=np.full_like(table.height_px, height),
        width_px=np.full_like(table.width_px, width),
        mask_rle=np.array([encode_rle(mask) for mask in truth], object),
    )


GOLDEN: Final = Golden(
    "entropy", draw_inputs, compute, lambda _, golden, values: off_by(golden, values, ATOL)
)
