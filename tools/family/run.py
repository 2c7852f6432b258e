"""Trains the embedded SAM2 models from where an earlier run was stopped."""

import os
import signal
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Final

import cv2
import torch

from stages.program.progress import progress
from storage.paths import WORK
from tools.family.batches import Batch
from tools.family.recipe import Recipe, draw_step
from tools.family.state import load_state, save_state
from tools.family.training import Score, Training, mean_scores

STATE: Final = WORK / "family" / "state.pt"
"""State of a training, going on or ended; its loss curve lies beside it."""

SAVE_EVERY_S: Final = 120.0
"""Pause between two states: what a stopped run loses at most."""

CURVE_EVERY: Final = 25
"""Steps averaged in a point of the loss curve."""

N_AHEAD: Final = 8
"""Batches drawn ahead."""

N_TAUGHT_AT_ONCE: Final = 2
"""Members that learn from a batch at the same time, each in its own thread."""


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
        for batch in drawn_batches(recipe, training.step):
            recent += training.learn(batch, pool.map)
            advance(1)
            # Only here, so that a run that was stopped ends with the curve of an undisturbed one.
            if training.step % CURVE_EVERY == 0 or training.is_done:
                curve += mean_scores(recent)
                recent.clear()
                if time.monotonic() - saved >= SAVE_EVERY_S or training.is_done:
                    save_state(state, training, curve)
                    saved = time.monotonic()
    return training, curve


def drawn_batches(recipe: Recipe, first_step: int) -> Iterator[Batch]:
    """Batches of all steps from the first, drawn ahead in another process."""
    with ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), initializer=_prepare_worker
    ) as pool:
        ahead: deque[Future[Batch]] = deque()
        # Ctrl-C reaches all processes of a terminal; the worker, started here, must ignore it.
        heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
        pool.submit(int)
        signal.signal(signal.SIGINT, heard)
        try:
            for step in range(first_step, recipe.n_steps):
                ahead.append(pool.submit(draw_step, recipe, step))
                if len(ahead) > N_AHEAD:
                    yield ahead.popleft().result()
            for future in ahead:
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _prepare_worker() -> None:
    """Take one core, and end with the parent however it ends: a killed parent sends no word."""
    cv2.setNumThreads(1)
    Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = parent_process()
    assert parent is not None  # a worker has one
    parent.join()
    os._exit(1)
