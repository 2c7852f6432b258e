"""Measures what a click costs with each model: ``python -m tools.click_costs``, some minutes.

Writes the table of costs in ``docs/models.md``. Each model has a process of its own, random
weights, and two threads.
"""

import os
import re
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from time import process_time
from typing import Final

import torch

from pipeline.predictor import ProposalHeads, UncertainPredictor
from pipeline.sam.families import FAMILIES, models_of
from pipeline.scenes.scene import draw_scene
from stages.extraction.models import load_sam
from storage.checkpoints.weights import checkpoint
from tools.blocks import replace_block, table

PAGE: Final = Path("docs/models.md")

HEADER: Final = ("family", "model", "weights, MB", "memory, GB", "first click, s", "next click, s")

N_ROUNDS: Final = 2


def cost_of(family: str, model: str) -> tuple[float, float, float]:
    """Peak memory of this process in GB; least seconds of a core for a first and a next click.

    A first click encodes its image, a drawn scene of 640 px. Seconds of a core, unlike those of the
    clock, hardly depend on what else the machine computes.
    """
    torch.set_num_threads(2)
    sam = load_sam(family, model, precision="fp32", device="cpu", weights="random-0")
    heads = ProposalHeads(family, model, models_of(family), None, {}, no_heads="not needed")
    predictor, rgb = UncertainPredictor(sam, heads), draw_scene(3, 640).rgb
    rounds = []
    for _ in range(N_ROUNDS):
        started = process_time()
        predictor.set_image(rgb)
        encoded = process_time()
        predictor.predict_uncertainty([[320, 240]], [1])
        rounds.append((process_time() - started, process_time() - encoded))
    first_s, next_s = map(min, zip(*rounds, strict=True))
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"))
    assert peak is not None
    return int(peak[1]) / 1e6, first_s, next_s


def rows_of(family: str) -> list[tuple[str, ...]]:
    """Rows of the table for a family's models, from small to large."""
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that wait would count as busy
    spawn = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        costs = [*pool.map(cost_of, repeat(family), models_of(family))]
    rows = []
    for model, figures in zip(models_of(family), costs, strict=True):
        size_mb = checkpoint(family, model).size_bytes / 1e6
        numbers = (f"{float(f'{figure:.2g}'):g}" for figure in figures)
        rows.append((f"`{family}`", model, f"{size_mb:.0f}", *numbers))
    return rows


def main() -> None:
    """Write the block of costs of all families."""
    rows = [row for family in FAMILIES for row in rows_of(family)]
    replace_block(PAGE, "click-costs", f"\n{table(HEADER, rows, left=(0, 1))}\n")


if __name__ == "__main__":
    main()
