"""What ``report`` reads besides results: trials of the heads, pictures of objects, seconds."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.hyperparameters import Hyperparameters, Trial
from pipeline.vocabulary import MODELS, OBJECTIVES
from stages.gallery_rows import gallery_rows
from stages.labels import METHOD_LABELS
from storage.gallery import Gallery, encode_jpeg, write_gallery
from storage.layout import RUNTIME_PATH, gallery_dir, results_dir, trials_path
from storage.results import COLUMNS, RUNTIME_SETTINGS, read_table, write_runtime
from storage.tuning import write_trials

N_PICTURES = 2
"""At either end of a task."""

MACHINE = ("random", "random", "fp32", "Abacus 9", 3, "drawn scene", 7)
"""``RUNTIME_SETTINGS``, the family apart."""


def write_report_inputs(
    root: Path, splits: Sequence[str], train_splits: Sequence[str], n_trials: int = 3
) -> None:
    """Trials and pictures of splits that are evaluated, and seconds."""
    write_runtime(root / RUNTIME_PATH, draw_runtime("mini"))
    for train_split, objective in product(train_splits, OBJECTIVES):
        write_trials(root / trials_path(train_split, objective), draw_trials(n_trials))
    for split in splits:
        write_gallery(root / gallery_dir(split), draw_gallery(root / results_dir(split)))


def draw_trials(n_trials: int) -> list[Trial]:
    """Trials, best first."""
    return [
        Trial(Hyperparameters(epochs=5 + i, batch_size=16, learning_rate=3e-4, momentum=0.5), mse)
        for i, mse in enumerate(np.linspace(0.0123456, 0.02, n_trials).tolist())
    ]


def draw_runtime(family: str) -> pd.DataFrame:
    """Seconds of every model and method: SAM2 alone takes one, the others a tenth more each."""
    settings = dict(zip(RUNTIME_SETTINGS, (family, *MACHINE), strict=True))
    rows = [
        {"model": model, "method": method, "seconds": 1 + i / 10, "ratio": 1 + i / 10} | settings
        for model in MODELS
        for i, method in enumerate(METHOD_LABELS)
    ]
    return pd.DataFrame(rows)


def draw_gallery(results: Path) -> Gallery:
    """A gallery of the objects that were evaluated, whose pictures show nothing."""
    rows = gallery_rows(read_table(results / "objects.csv", COLUMNS["objects"]), N_PICTURES)
    rows["file"] = [f"{row:04}.png" for row in rows["row"]]
    rows["picture"] = [f"{i}.jpg" for i in range(len(rows))]
    grey = encode_jpeg(np.full((24, 32, 3), 128, np.uint8))
    return Gallery(rows, dict.fromkeys(rows["picture"], grey))
