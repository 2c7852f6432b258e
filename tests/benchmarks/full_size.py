"""Times ``evaluate`` at the size of COCO val on made-up stores: ``make bench-full``.

Stores of 36,000 objects and four models, heads of every kind from two train splits.
"""

import os
import tempfile
from contextlib import chdir
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.views import default_view
from pipeline.vocabulary import PROMPTS
from stages.settings.signatures import eval_cells
from storage.paths import objects_path
from storage.split.object_table import ObjectTable, write_objects
from tests.fixtures.eval_split import (
    TRAIN_SPLITS,
    draw_iou,
    write_entropy,
    write_heads,
    write_params,
)
from tests.fixtures.made_up_objects import object_table
from tests.fixtures.measured import measured
from tests.fixtures.mini import MODELS
from tests.fixtures.settings import view_settings
from tests.fixtures.signatures import publish_features
from tools.bars import Bar, write_record

SPLIT: Final = "coco_val"
VIEWS: Final = ("identity", "vflip", "jpeg10", "jpeg30", "gblur5", "gnoise")
N_OBJECTS: Final = int(os.environ.get("USAM_BENCH_OBJECTS", "36000"))
"""Those of COCO val 2017; fewer for a quick look."""

PER_IMAGE: Final = 7
N_CHANNELS: Final = 256
N_RESAMPLES: Final = 1000

MAX_MINUTES: Final = 10.0
MAX_GB: Final = 4.0


def main() -> None:
    """Make the stores, run the stage, and record what it took."""
    with tempfile.TemporaryDirectory() as folder:
        with chdir(folder):
            _write_stores()
        used = measured("evaluate", (SPLIT,), Path(folder))
    what = f"`evaluate` of {N_OBJECTS:,} objects"
    bars = [
        Bar(what, used["seconds"] / 60, at_most=MAX_MINUTES, unit="min"),
        Bar(f"{what}: memory", used["bytes"] / 1e9, at_most=MAX_GB, unit="GB"),
    ]
    write_record(Path("build", "bench-full.json"), bars)


def _write_stores() -> None:
    write_params(
        Path(),
        [SPLIT],
        views=view_settings(*VIEWS),
        train_splits=TRAIN_SPLITS,
        evaluate={"n_resamples": N_RESAMPLES},
    )
    table = object_table(N_OBJECTS, PER_IMAGE)
    write_objects(objects_path(SPLIT), table, {"split": SPLIT, "group": "image"})
    for model, view in product(MODELS, VIEWS):
        _write_features(model, view, table)
    write_entropy(SPLIT, N_OBJECTS, MODELS, VIEWS)
    for train_split in TRAIN_SPLITS:
        write_heads(Path(), train_split, n_channels=N_CHANNELS, hidden=None)


def _write_features(model: str, view: str, table: ObjectTable) -> None:
    """Features of one cell; tokens only where they are read, of one click in one view."""
    rng = np.random.default_rng([MODELS.index(model), *view.encode()])
    size = (N_OBJECTS, len(PROMPTS))
    iou = draw_iou(rng, N_OBJECTS, MODELS.index(model) / 3)
    token = np.zeros((*size, 5, N_CHANNELS), np.float32)
    if view == "identity":
        token[:, 0] = rng.standard_normal((N_OBJECTS, 5, N_CHANNELS), np.float32)
    (cell,) = eval_cells(SPLIT, [model], [default_view(view)])
    arrays = {
        "iou": iou,
        "sam_score": np.clip(iou + rng.normal(0, 0.2, iou.shape), 0, 1).astype(np.float32),
        "iou_token": token[:, :, 0],
        "mask_token": token[:, :, 1:],
    }
    publish_features(cell, table, arrays, seed=MODELS.index(model))


if __name__ == "__main__":
    main()
