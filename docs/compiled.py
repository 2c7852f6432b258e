"""``python -m docs.compiled``: what ``extract.compile`` takes and gives; takes many minutes.

Writes  the part of ``docs/speed.md`` between ``<!-- compiled -->`` and ``<!-- /compiled -->``.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import torch

from docs.speed import N_OBJECTS, PAGE, least_seconds, table
from pipeline.sam.model import Precision
from stages.shell.progress import progress
from tests.benchmarks.timed_extraction import Work
from tools.blocks import replace_block

MODELS: Final[tuple[tuple[str, str, Precision], ...]] = (
    ("mini", "tiny", "fp32"),
    ("sam2.1", "tiny", "bf16"),
)

N_ROUNDS: Final = 2

COMPILED_CODE: Final = "TORCHINDUCTOR_CACHE_DIR"
"""Where PyTorch keeps what it has compiled."""


def main() -> None:
    """Measure all, then write."""
    torch.set_num_threads(1)
    rows = []
    with progress("compiled", len(MODELS), "models") as done:
        for family, model, precision in MODELS:
            with TemporaryDirectory() as folder:
                os.environ[COMPILED_CODE] = str(Path(folder, "code"))
                work = Work.of(model, N_OBJECTS, Path(folder), family=family, precision=precision)
                rows.append([f"{model} of {family}, {precision}", *_row(work)])
            done(1)
    header = ["model", "compilation, s", "encoder", "decoder", "extraction of one image"]
    replace_block(PAGE, "compiled", f"\n{table(header, rows)}\n")


def _row(work: Work) -> list[str]:
    """Seconds of the compilation, its compilers' included, and the share of the time after it."""
    before = least_seconds(_runs(work), N_ROUNDS)
    started = sum(os.times()[:4])
    work.sam.compile()
    taken = sum(os.times()[:4]) - started
    after = least_seconds(_runs(work), N_ROUNDS)
    return [f"{taken:.0f}", *(f"{after[name] / before[name]:.2f}" for name in before)]


def _runs(work: Work) -> dict[str, Callable[[], object]]:
    embedding = work.sam.encode(work.rgb)
    points = np.random.default_rng(0).uniform(0, 400, (work.batch, 1, 2)).astype(np.float32)
    return {
        "encoder": partial(work.sam.encode, work.rgb),
        "decoder": partial(work.sam.decode, embedding, points),
        "extraction": work.extract,
    }


if __name__ == "__main__":
    main()
