"""``python -m tools.family``: trains the embedded SAM2 models.

``python -m tools.family mini`` learns from drawn scenes, ``python -m tools.family mini-photos
BSDS500`` from photographs: BSDS500 is the folder that has ``images`` and ``groundTruth``.

Reads   ``BSDS500/images/train``, ``BSDS500/groundTruth/train``; ``cache/work/family/FAMILY``, where
        an earlier run was stopped.
Writes  the folder of weights and the table of the family in ``storage/checkpoints``; on the way,
        ``cache/work/family/FAMILY``.
"""

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import torch

from stages.program.main import reported_errors
from stages.program.progress import progress
from stages.program.stopping import stoppable
from storage.checkpoints.weights import checkpoint
from storage.paths import WORK
from tools.family.photographs import Photograph, load_photographs
from tools.family.publishing import publish
from tools.family.recipe import RECIPES, Recipe, draw_step
from tools.family.state import load_state, save_state
from tools.family.training import Training

STATES: Final = WORK / "family"
"""Folder of the state of each family's training, going on or ended."""

SAVE_EVERY_S: Final = 120.0
"""Pause between two states: what a stopped run loses at most."""

N_TAUGHT_AT_ONCE: Final = 2
"""Members that learn from a batch at the same time, each in its own thread."""


def main() -> None:
    """Train a family, from where an earlier run was stopped, and list its weights."""
    parser = argparse.ArgumentParser(prog="python -m tools.family")
    parser.add_argument("family", choices=RECIPES)
    parser.add_argument("photographs", nargs="?", type=Path, help="folder of BSDS500")
    options = parser.parse_args()
    family, state = options.family, STATES / options.family / "state.pt"
    photographs: Sequence[Photograph] = ()
    if options.photographs:
        folders = (options.photographs / name / "train" for name in ("images", "groundTruth"))
        photographs = load_photographs(*folders)
    with reported_errors():
        with stoppable(f"the training is kept in {state}, up to {SAVE_EVERY_S:.0f} s ago"):
            training = train_family(RECIPES[family], state, photographs)
        publish(family, training.image_path_weights())
    for model in training.models:
        print(f"{checkpoint(family, model).path} is trained and listed")


def train_family(recipe: Recipe, state: Path, photographs: Sequence[Photograph] = ()) -> Training:
    """Train to the end of a recipe, saving now and then."""
    # Several threads add up in another order, so the weights would depend on their number.
    torch.set_num_threads(1)
    training = Training(recipe)
    load_state(state, training)
    saved = time.monotonic()
    n_left = recipe.n_steps - training.step
    with (
        progress("family", n_left, "steps") as advance,
        ThreadPoolExecutor(N_TAUGHT_AT_ONCE) as pool,
    ):
        while not training.is_done:
            training.learn(draw_step(recipe, training.step, photographs), pool.map)
            advance(1)
            if time.monotonic() - saved >= SAVE_EVERY_S or training.is_done:
                save_state(state, training)
                saved = time.monotonic()
    return training


if __name__ == "__main__":
    main()
