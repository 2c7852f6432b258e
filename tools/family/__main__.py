"""``python -m tools.family``: trains the embedded SAM2 models.

Reads   ``cache/work/family``, where an earlier run was stopped.
Writes  ``storage/checkpoints/mini_weights``, ``storage/checkpoints/mini.csv``; on the way,
        ``cache/work/family``.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import torch

from stages.program.main import reported_errors
from stages.program.progress import progress
from stages.program.stopping import stoppable
from storage.checkpoints.weights import checkpoint
from storage.paths import WORK
from tools.family.publishing import publish_mini
from tools.family.recipe import RECIPE, Recipe, draw_step
from tools.family.state import load_state, save_state, write_curve
from tools.family.training import Score, Training, mean_scores

STATE: Final = WORK / "family" / "state.pt"
"""State of a training, going on or ended; its loss curve lies beside it."""

SAVE_EVERY_S: Final = 120.0
"""Pause between two states: what a stopped run loses at most."""

CURVE_EVERY: Final = 25
"""Steps averaged in a point of the loss curve."""

N_TAUGHT_AT_ONCE: Final = 2
"""Members that learn from a batch at the same time, each in its own thread."""


def main() -> None:
    """Train the mini models, from where an earlier run was stopped, and list their weights."""
    with reported_errors():
        with stoppable(f"the training is kept in {STATE}, up to {SAVE_EVERY_S:.0f} s ago"):
            training, curve = train_family(RECIPE, STATE)
        publish_mini(training.image_path_weights())
        write_curve(checkpoint("mini", "tiny").path.with_name("curve.csv"), curve)
    for model in training.models:
        print(f"{checkpoint('mini', model).path} is trained and listed")


def train_family(recipe: Recipe, state: Path) -> tuple[Training, list[Score]]:
    """Train to the end of a recipe, saving now and then; the training and its loss curve."""
    # Several threads add up in another order, so the weights would depend on their number.
    torch.set_num_threads(1)
    training = Training(recipe)
    curve = load_state(state, training)
    recent: list[Score] = []
    saved = time.monotonic()
    n_left = recipe.n_steps - training.step
    with (
        progress("family", n_left, "steps") as advance,
        ThreadPoolExecutor(N_TAUGHT_AT_ONCE) as pool,
    ):
        while not training.is_done:
            recent += training.learn(draw_step(recipe, training.step), pool.map)
            advance(1)
            # Only here, so that a run that was stopped ends with the curve of an undisturbed one.
            if training.step % CURVE_EVERY == 0 or training.is_done:
                curve += mean_scores(recent)
                recent.clear()
                if time.monotonic() - saved >= SAVE_EVERY_S or training.is_done:
                    save_state(state, training, curve)
                    saved = time.monotonic()
    return training, curve


if __name__ == "__main__":
    main()
