"""Times ``evaluate`` and ``train`` at the paper's size on made-up stores: ``make bench-full``.

Stores of 36,000 objects and four models, heads of every kind from two train splits; then the stage
``evaluate`` in a process of its own. Of the training of heads, one epoch of a tenth of the rows is
timed and multiplied.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from pipeline.heads.kinds import HeadSet, Hyperparameters
from pipeline.heads.objectives import TrainingSet
from pipeline.views import default_view
from pipeline.vocabulary import PROMPTS
from stages import evaluate
from stages import evaluation as tables
from stages.settings.signatures import eval_cells
from stages.training.fit import fit_here, heads_to_fit
from storage.paths import objects_path
from storage.split.objects import ObjectTable, write_objects
from tests.fixtures.eval_split import (
    TRAIN_SPLITS,
    draw_iou,
    object_table,
    write_entropy,
    write_heads,
    write_params,
)
from tests.fixtures.mini import MODELS, OBJECTIVES
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

TRAIN_OBJECTS: Final = 50_000
TRAIN_HEADS: Final = 18
TRAIN_EPOCHS: Final = 40
TIMED_SHARE: Final = 0.1
"""Share of the rows that the timed epoch of training has."""

PARTS: Final[tuple[tuple[ModuleType, str, str], ...]] = (
    (evaluate, "read_scores", "reading the stores, applying the heads"),
    (tables, "auc_table", "AUC of every task, with intervals"),
    (tables, "blocks_as_frame", "curves"),
    (tables, "correlation_table", "correlations"),
    (tables, "statistic_table", "statistics of use, with intervals"),
    (tables, "promise_table", "promises"),
    (evaluate, "write_results", "table of objects, writing all tables"),
)
"""Module, function and what it does."""


def main() -> None:
    """Make the stores, run both, and print what they took."""
    root = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        _write_stores()
        command = (sys.executable, "-m", "tests.benchmarks.full_size", "evaluate")
        # `tests` is not installed: a process elsewhere finds it by this.
        subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(root)})
        told = json.loads(Path("told.json").read_text(encoding="utf-8"))
        os.chdir(root)
    write_record(root / "build" / "bench-full.json", _bars(told))
    print(_words(told, _epoch_seconds()))


def _write_stores() -> None:
    changes: dict[str, Any] = {
        "views": view_settings(*VIEWS),
        "train_splits": TRAIN_SPLITS,
        "evaluate": {"n_resamples": N_RESAMPLES},
    }
    write_params(Path(), [SPLIT], **changes)
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


def _evaluate() -> None:
    """Run the stage in the working directory; write what its parts took to ``told.json``."""
    seconds: dict[str, tuple[float, float]] = {}
    for module, name, what in PARTS:
        setattr(module, name, _timed(getattr(module, name), what, seconds))
    sys.argv = ["evaluate", SPLIT]
    started = time.perf_counter()
    evaluate.main()
    told = {
        "parts": seconds,
        "total": (time.perf_counter() - started, time.process_time()),
        "peak_bytes": _peak_bytes(),
    }
    Path("told.json").write_text(json.dumps(told), encoding="utf-8")


def _peak_bytes() -> int:
    """Most memory so far; ``ru_maxrss`` would begin at what the parent had."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def _timed(
    function: Callable[..., Any], what: str, seconds: dict[str, tuple[float, float]]
) -> Callable[..., Any]:
    @wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any function
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[what] = (time.perf_counter() - wall, time.process_time() - cpu)

    return timed


def _epoch_seconds() -> float:
    """Wall time of an epoch of the paper's heads, kept and validated, on a share of the rows."""
    rng = np.random.default_rng(0)
    n_rows = int(TIMED_SHARE * TRAIN_OBJECTS * len(MODELS))
    inputs = rng.standard_normal((n_rows, 2 * N_CHANNELS), np.float32)
    targets = rng.random((len(OBJECTIVES), n_rows), np.float32)
    data = TrainingSet(inputs, dict(zip(OBJECTIVES, targets, strict=True)), np.arange(n_rows))

    def seconds(epochs: int) -> float:
        plan = Hyperparameters(epochs=epochs, batch_size=64, learning_rate=0.03, momentum=0.9)
        plans = dict.fromkeys(OBJECTIVES, plan)
        heads = heads_to_fit(HeadSet("best", "best"), plans, seed=0, judging_seed=0)
        started = time.perf_counter()
        fit_here(data, heads, lambda _: None)
        return time.perf_counter() - started

    return seconds(2) - seconds(1)


def _bars(told: dict[str, Any]) -> list[Bar]:
    what = f"`evaluate` of {N_OBJECTS:,} objects"
    return [
        Bar(what, told["total"][0] / 60, at_most=MAX_MINUTES, unit="min"),
        Bar(f"{what}: memory", told["peak_bytes"] / 1e9, at_most=MAX_GB, unit="GB"),
    ]


def _words(told: dict[str, Any], epoch_s: float) -> str:
    about = (
        f"`evaluate` of {N_OBJECTS:,} objects in {-(-N_OBJECTS // PER_IMAGE):,} images, "
        f"{len(MODELS)} models, {len(VIEWS)} views, {len(TRAIN_SPLITS)} train splits, all kinds of "
        f"heads, both protocols, {N_RESAMPLES:,} resamples, on "
        f"{len(os.sched_getaffinity(0))} cores: {told['total'][0] / 60:.1f} min, "
        f"{told['total'][1] / 60:.1f} min of CPU time, {told['peak_bytes'] / 1e9:.1f} GB at most."
    )
    lines = [
        about,
        "",
        "| part | seconds | of CPU time |",
        "| --- | ---: | ---: |",
        *(f"| {what} | {wall:.0f} | {cpu:.0f} |" for what, (wall, cpu) in told["parts"].items()),
        "",
        _train_text(epoch_s),
    ]
    return "\n".join(lines) + "\n"


def _train_text(epoch_s: float) -> str:
    groups = TRAIN_HEADS // len(OBJECTIVES)
    hours = epoch_s / TIMED_SHARE * TRAIN_EPOCHS * groups / 3600
    return (
        f"Training {TRAIN_HEADS} heads of the paper on {TRAIN_OBJECTS:,} objects of "
        f"{len(MODELS)} models for {TRAIN_EPOCHS} epochs takes {hours:.1f} h, extrapolated: nine "
        f"heads took {epoch_s:.0f} s for an epoch of {TIMED_SHARE:.0%} of the rows, and steps of "
        "64 rows all cost the same. It includes the heads that learn from four fifths of the "
        "images, to validate."
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["evaluate"]:
        _evaluate()
    else:
        main()
