"""Heads with standardised inputs and AdamW in one cycle, against PyTorch's own loop."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.heads.kinds import KINDS_BY_NAME, OneCycle
from pipeline.heads.networks import standard_of
from pipeline.heads.objectives import TrainingSet
from pipeline.heads.predict import STANDARD, HeadWeights, predict
from pipeline.heads.training import Rows, train_head
from pipeline.seeds import derive_seed
from tests.fixtures.mini import OBJECTIVES

PLAN = OneCycle(epochs=4, batch_size=16, learning_rate=1e-2, weight_decay=0.05)
KIND = replace(KINDS_BY_NAME["ours"], hidden=24, plan=PLAN)
SEED = 3
N_ROWS, N_INPUTS = 90, 7


def draw_data() -> TrainingSet:
    """Inputs of very different scales, the last of them constant."""
    rng = np.random.default_rng(0)
    scale = 10.0 ** np.arange(-3, N_INPUTS - 3)
    inputs = (rng.normal(2, 1, (N_ROWS, N_INPUTS)) * scale).astype(np.float32)
    inputs[:, -1] = 0.3
    slopes = rng.normal(size=(N_INPUTS, len(OBJECTIVES))) / scale[:, np.newaxis]
    targets = (1 / (1 + np.exp(-(inputs - inputs.mean(0)) @ slopes))).astype(np.float32)
    by_objective = dict(zip(OBJECTIVES, targets.T.copy(), strict=True))
    return TrainingSet(inputs, by_objective, np.arange(N_ROWS))


DATA = draw_data()
ROWS = Rows(np.arange(0, N_ROWS, 2), np.arange(1, N_ROWS, 2))


def train_alone(objective: str) -> HeadWeights:
    """The same head by nn.Sequential, autograd, AdamW and OneCycleLR."""
    learned = DATA.inputs[ROWS.train].astype(np.float64)
    mean, deviation = learned.mean(axis=0), learned.std(axis=0)
    deviation[-1] = 1  # constant
    standard = (DATA.inputs - mean.astype(np.float32)) / deviation.astype(np.float32)
    inputs = torch.from_numpy(standard)
    target = torch.from_numpy(DATA.targets[objective][:, np.newaxis])
    layers = [nn.Linear(*shape) for shape in pairwise([N_INPUTS, KIND.hidden, KIND.hidden, 1])]
    generator = torch.Generator().manual_seed(derive_seed(SEED, objective))
    for layer in layers:
        bound = layer.in_features**-0.5
        drawn = torch.empty(layer.in_features, layer.out_features)
        layer.weight.data = drawn.uniform_(-bound, bound, generator=generator).T.contiguous()
        layer.bias.data.uniform_(-bound, bound, generator=generator)
    module = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2], nn.Sigmoid())
    optimizer = torch.optim.AdamW(module.parameters(), weight_decay=PLAN.weight_decay)
    order = torch.Generator().manual_seed(derive_seed(SEED, "batches"))
    train = torch.from_numpy(ROWS.train)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PLAN.learning_rate, epochs=PLAN.epochs, steps_per_epoch=3
    )
    for _ in range(PLAN.epochs):
        shuffled = train[torch.randperm(len(train), generator=order)]
        for batch in torch.split(shuffled, PLAN.batch_size):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(module(inputs[batch]), target[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    weights = {
        f"layers.{i}.{part}": getattr(layer, part).detach().numpy()
        for i, layer in enumerate(layers)
        for part in ("weight", "bias")
    }
    return weights | dict(zip(STANDARD, (mean, deviation), strict=True))


def test_heads_equal_those_of_torch() -> None:
    for objective in ("iou_tiny", "model_gap", "iou_refined"):
        head = train_head(DATA, ROWS, objective, PLAN, seed=SEED, kind=KIND)
        found, expected = head.weights, train_alone(objective)
        assert set(found) == set(expected)
        for name in found:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=2e-5)
            assert found[name].dtype == np.float32


def test_the_validation_error_is_that_of_the_predictions_from_raw_inputs() -> None:
    head = train_head(DATA, ROWS, "iou_tiny", PLAN, seed=SEED, kind=KIND)
    found = predict({"iou_tiny": head.weights}, DATA.inputs[ROWS.validation])["iou_tiny"]
    target = DATA.targets["iou_tiny"][ROWS.validation]
    assert head.validation_mse[-1] == pytest.approx(np.mean((found - target) ** 2), rel=1e-4)
    assert len(head.train_mse) == PLAN.epochs


def test_neither_rows_that_do_not_train_nor_the_size_of_blocks_change_a_mean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = standard_of(DATA.inputs, ROWS.train)
    others = DATA.inputs.copy()
    others[ROWS.validation] += 1e6
    monkeypatch.setattr("pipeline.heads.networks.BLOCK_ROWS", 7)
    in_blocks = standard_of(others, ROWS.train)
    for name in STANDARD:
        np.testing.assert_array_equal(in_blocks[name], whole[name])
    assert whole["inputs.scale"][-1] == 1


def test_training_leaves_the_inputs_as_they_are() -> None:
    before = DATA.inputs.copy()
    train_head(DATA, ROWS, "iou_tiny", PLAN, seed=SEED, kind=KIND)
    np.testing.assert_array_equal(DATA.inputs, before)
