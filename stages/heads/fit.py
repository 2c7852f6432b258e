"""Heads validated on a fifth of the images and heads that learned from all, many at once."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.head_sets import HeadKind
from pipeline.heads.objectives import TrainingSet, split_by_group
from pipeline.heads.optimizers import Plan
from pipeline.heads.training import Rows, TrainedHead, train_heads


@dataclass(frozen=True)
class Seeds:
    """Seed of initial weights and batches, and of the images that judge."""

    heads: int
    judging: int


@dataclass(frozen=True)
class FittedHeads:
    """Heads by objective."""

    validated: Mapping[str, TrainedHead]
    kept: Mapping[str, TrainedHead]


def fit_heads(
    data: TrainingSet,
    plans: Mapping[str, Plan],
    kind: HeadKind,
    seeds: Seeds,
    advance: Callable[[int], None],
) -> FittedHeads:
    """Heads validated on a fifth of the images, and heads that learned from all.

    Parameters
    ----------
    advance
        Called with 1 after each epoch of a head, from any thread.

    Raises
    ------
    ValueError
        As ``pipeline.heads.training.train_heads``.

    Notes
    -----
    As in the paper, 80/20 serves the choice of hyperparameters; the heads that are kept learn from
    every image, and the validation error says how well such heads do on other images.
    """
    everything = Rows(np.arange(len(data.group)), np.arange(0))
    # The images, or videos, that judged the trials also validate the heads.
    held_out = Rows(*split_by_group(data.group, seeds.judging))

    def fit(job: tuple[Rows, str]) -> TrainedHead:
        rows, name = job
        plan = {name: plans[name]}
        return train_heads(data, rows, plan, seed=seeds.heads, kind=kind, advance=advance)[name]

    with _threads() as pool:
        # The longer ones first, so that no thread begins one when the others end.
        fitted = pool.map(fit, [(rows, name) for rows in (everything, held_out) for name in plans])
        kept = {name: next(fitted) for name in plans}
        return FittedHeads({name: next(fitted) for name in plans}, kept)


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """As many threads as PyTorch may use, each of which computes alone.

    Two that train a head each end in two thirds of the time that two take for one head after the
    other: its products are small.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(n_threads) as pool:
            yield pool
    finally:
        torch.set_num_threads(n_threads)
