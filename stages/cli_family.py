"""``usam family``: trains the embedded SAM2 models."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Final

import torch
import typer

from pipeline.recipe import RECIPE, Recipe
from pipeline.recipe_batches import Batch, draw_batch
from pipeline.recipe_training import Score, Training
from stages.family_state import load_state, save_state
from stages.progress import progress
from stages.shell import reported_errors
from storage.layout import WORK

STATE: Final = WORK / "family" / "state.pt"
SAVE_EVERY_S: Final = 120.0
CURVE_EVERY: Final = 25
"""Steps that a point of the loss curve is the mean of."""
N_AHEAD: Final = 8
"""Batches drawn ahead."""

app = typer.Typer(no_args_is_help=True, help="The embedded mini models.")


@app.callback()
def family() -> None:
    """Keep ``train`` a command of its own: a lone one would be the group itself."""


@app.command()
def train() -> None:
    """Train the mini models, from where an earlier run was stopped."""
    with reported_errors():
        train_family(RECIPE, STATE)


def train_family(recipe: Recipe, state: Path) -> Training:
    """Train to the end of a recipe, saving now and then."""
    torch.set_num_threads(1)
    training = Training(recipe)
    curve = load_state(state, training)
    saved = time.monotonic()
    recent: list[Score] = []
    with progress("family", recipe.n_steps, "steps") as advance:
        advance(training.step)
        for batch in drawn_batches(recipe, training.step):
            recent += training.learn(batch)
            advance(1)
            if training.step % CURVE_EVERY == 0 or training.is_done:
                curve += mean_scores(recent)
                recent.clear()
                if time.monotonic() - saved >= SAVE_EVERY_S or training.is_done:
                    save_state(state, training, curve)
                    saved = time.monotonic()
    return training


def drawn_batches(recipe: Recipe, first_step: int) -> Iterator[Batch]:
    """Batches of all steps from the first, drawn ahead in another process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        ahead: deque[Future[Batch]] = deque()
        for step in range(first_step, recipe.n_steps):
            size_px = recipe.at(step)[0].image_size_px
            ahead.append(pool.submit(draw_batch, recipe.batches, step, size_px))
            if len(ahead) > N_AHEAD:
                yield ahead.popleft().result()
        for future in ahead:
            yield future.result()


def mean_scores(scores: Sequence[Score]) -> list[Score]:
    """Mean scores of each model, under the last step."""
    means = []
    for model, group in groupby(sorted(scores, key=lambda score: score.model), lambda s: s.model):
        own = list(group)
        means.append(
            Score(
                own[-1].step,
                model,
                fmean(score.loss for score in own),
                fmean(score.best_iou for score in own),
                fmean(score.selected_iou for score in own),
            )
        )
    return means
