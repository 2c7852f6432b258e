"""Nine heads by our loop against nine by the usual one, through a DataLoader.

Most of a step are five products of ``(64, 512) x (512, 512)`` for the two layers of 512 x 512,
which both loops make. In one thread, as ``train`` and ``tune`` compute.
"""

from time import perf_counter

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from pipeline.heads.kinds import WEIGHT_DECAY, Hyperparameters
from pipeline.heads.objectives import TrainingSet
from pipeline.heads.predict import HIDDEN
from pipeline.heads.training import Rows, train_head
from tests.fixtures.mini import OBJECTIVES
from tools.bars import note_bar

pytestmark = pytest.mark.usefixtures("one_thread")

N_ROWS = 20_000
N_INPUTS = 512
PLAN = Hyperparameters(epochs=5, batch_size=64, learning_rate=0.03, momentum=0.9)
LEAST_RATIO = 1.1
"""Guards against a loss, with room for a noisy machine."""


def draw_data() -> TrainingSet:
    """Targets that tokens tell in part, as IoUs are: the rest is noise that no head can learn."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(N_ROWS, N_INPUTS)).astype(np.float32)
    slopes = rng.normal(size=(N_INPUTS, len(OBJECTIVES))) / N_INPUTS**0.5
    noise = rng.normal(0, 0.15, (N_ROWS, len(OBJECTIVES)))
    targets = np.clip(1 / (1 + np.exp(-inputs @ slopes)) + noise, 0, 1).astype(np.float32)
    by_objective = dict(zip(OBJECTIVES, targets.T.copy(), strict=True))
    return TrainingSet(inputs, by_objective, np.arange(N_ROWS))


def train_through_loader(data: TrainingSet, objective: str) -> float:
    """One head by the usual loop; its mean squared error over the last epoch."""
    rows = TensorDataset(
        torch.from_numpy(data.inputs), torch.from_numpy(data.targets[objective][:, np.newaxis])
    )
    module = nn.Sequential(
        nn.Linear(N_INPUTS, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, 1),
        nn.Sigmoid(),
    )
    optimizer = torch.optim.SGD(
        module.parameters(),
        lr=PLAN.learning_rate,
        momentum=PLAN.momentum,
        weight_decay=WEIGHT_DECAY,
    )
    squared_error = 0.0
    for _ in range(PLAN.epochs):
        squared_error = 0.0
        for inputs, targets in DataLoader(rows, batch_size=PLAN.batch_size, shuffle=True):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(module(inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            squared_error += loss.item() * len(inputs)
    return squared_error / N_ROWS


def test_nine_heads_beat_nine_through_a_loader(benchmark: BenchmarkFixture) -> None:
    data = draw_data()
    rows = Rows(np.arange(N_ROWS), np.arange(0))
    torch.manual_seed(0)
    started = perf_counter()
    expected = [train_through_loader(data, objective) for objective in OBJECTIVES]
    loader_s = perf_counter() - started
    started = perf_counter()
    trained = benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda: [train_head(data, rows, objective, PLAN, seed=0) for objective in OBJECTIVES]
    )
    ratio = loader_s / (perf_counter() - started)
    found = [head.train_mse[-1] for head in trained]
    # Of all heads: a single one differs by more between two orders of the rows.
    np.testing.assert_allclose(np.mean(found), np.mean(expected), rtol=0.02)
    what = "training of nine heads: speed over a loop through a DataLoader"
    note_bar(benchmark, what, ratio, at_least=LEAST_RATIO)
    print(
        f"\nnine heads, {N_ROWS} rows, {PLAN.epochs} epochs, batches of {PLAN.batch_size}, "
        f"one thread: loader {loader_s:.1f} s, ratio {ratio:.2f}"
    )
    assert ratio >= LEAST_RATIO
