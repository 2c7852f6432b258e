"""Heads of several networks, and heads that predict a variance, against PyTorch and NumPy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.head_sets import KINDS_BY_NAME, MODEL_IOUS, HeadKind, OneCycle
from pipeline.heads.deviations import deviations
from pipeline.heads.objectives import TrainingSet
from pipeline.heads.predict import GREATEST_VARIANCE, HeadWeights, head_outputs, predict
from pipeline.heads.training import Rows, TrainedHead, train_heads
from pipeline.seeds import derive_seed
from pipeline.vocabulary import OBJECTIVES

SEED, HIDDEN = 3, 8
PLAN = OneCycle(epochs=4, batch_size=16, learning_rate=0.01, weight_decay=0.05)
ALONE = replace(KINDS_BY_NAME["ours"], hidden=HIDDEN)
ENSEMBLE = replace(KINDS_BY_NAME["ensemble"], hidden=HIDDEN, n_members=3)
VARIANCE = replace(KINDS_BY_NAME["heteroscedastic"], hidden=HIDDEN)
RNG = np.random.default_rng(0)
DATA = TrainingSet(
    RNG.normal(size=(90, 12)).astype(np.float32),
    RNG.uniform(size=(90, len(OBJECTIVES))).astype(np.float32),
    np.arange(90),
)
ROWS = Rows(np.arange(0, 90, 2), np.arange(1, 90, 2))
NEW = RNG.normal(size=(7, 12)).astype(np.float32)


def train(kind: HeadKind, seed: int = SEED) -> dict[str, TrainedHead]:
    return train_heads(DATA, ROWS, dict.fromkeys(MODEL_IOUS, PLAN), seed=seed, kind=kind)


def weights_of(trained: dict[str, TrainedHead]) -> dict[str, HeadWeights]:
    return {objective: head.weights for objective, head in trained.items()}


def member(head: HeadWeights, index: int) -> HeadWeights:
    return {name: t[index] if name.startswith("layers") else t for name, t in head.items()}


def test_the_first_network_of_an_ensemble_is_the_head_that_would_stand_alone() -> None:
    alone, ensemble = weights_of(train(ALONE)), weights_of(train(ENSEMBLE))
    for objective, head in alone.items():
        first = member(ensemble[objective], 0)
        assert set(first) == set(head)
        for name, tensor in head.items():
            np.testing.assert_allclose(first[name], tensor, atol=1e-5, err_msg=name)


def test_the_networks_of_an_ensemble_differ() -> None:
    for head in weights_of(train(ENSEMBLE)).values():
        parts = [member(head, i)["layers.0.weight"] for i in range(ENSEMBLE.n_members)]
        assert all(np.abs(part - parts[0]).max() > 0.01 for part in parts[1:])


def test_an_ensemble_predicts_the_mean_of_its_networks_and_their_standard_deviation() -> None:
    heads = weights_of(train(ENSEMBLE))
    means, spreads = predict(heads, NEW), deviations(heads, NEW)
    for objective, head in heads.items():
        each = [
            predict({objective: member(head, i)}, NEW)[objective] for i in range(ENSEMBLE.n_members)
        ]
        np.testing.assert_allclose(means[objective], np.mean(each, axis=0), rtol=1e-6)
        np.testing.assert_allclose(spreads[objective], np.std(each, axis=0), rtol=1e-4)


@pytest.mark.parametrize("kind", [ALONE, ENSEMBLE, VARIANCE], ids=lambda kind: kind.name)
def test_the_validation_error_is_that_of_what_the_heads_predict(kind: HeadKind) -> None:
    trained = train(kind)
    found = predict(weights_of(trained), DATA.inputs[ROWS.validation])
    for objective, head in trained.items():
        targets = DATA.targets[ROWS.validation, OBJECTIVES.index(objective)]
        error = np.mean((found[objective] - targets) ** 2)
        assert head.validation_mse[-1] == pytest.approx(error, rel=1e-4)


def test_heads_that_predict_a_variance_equal_those_of_torch_and_its_loss() -> None:
    objective = "iou_small"
    found = train(VARIANCE)[objective].weights
    layers = [nn.Linear(12, HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, 2)]
    module = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    drawn = torch.Generator().manual_seed(derive_seed(SEED, objective))
    for layer in layers:
        bound = layer.in_features**-0.5
        # Drawn in the batched layout (inputs, outputs), hence the transpose.
        weight = torch.empty(layer.in_features, layer.out_features)
        layer.weight.data = weight.uniform_(-bound, bound, generator=drawn).T.contiguous()
        layer.bias.data.uniform_(-bound, bound, generator=drawn)
    inputs = torch.from_numpy((DATA.inputs - found["inputs.mean"]) / found["inputs.scale"])
    targets = torch.from_numpy(DATA.targets[:, OBJECTIVES.index(objective)])
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=PLAN.learning_rate, weight_decay=PLAN.weight_decay
    )
    n_steps = PLAN.epochs * -(-len(ROWS.train) // PLAN.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PLAN.learning_rate, total_steps=n_steps
    )
    order = torch.Generator().manual_seed(derive_seed(SEED, "batches"))
    train_rows, loss = torch.from_numpy(ROWS.train), nn.GaussianNLLLoss()
    for _ in range(PLAN.epochs):
        shuffled = train_rows[torch.randperm(len(train_rows), generator=order)]
        for batch in torch.split(shuffled, PLAN.batch_size):
            optimizer.zero_grad()
            mean, share = module(inputs[batch]).sigmoid().unbind(-1)
            loss(mean, targets[batch], GREATEST_VARIANCE * share).backward()
            optimizer.step()
            schedule.step()
    for i, layer in enumerate(layers):
        for part in ("weight", "bias"):
            expected = getattr(layer, part).detach().numpy()
            np.testing.assert_allclose(found[f"layers.{i}.{part}"], expected, atol=1e-5)


def test_a_predicted_variance_is_a_share_of_the_greatest() -> None:
    heads = weights_of(train(VARIANCE))
    found = deviations(heads, NEW)
    for objective, head in heads.items():
        share = head_outputs(objective, head, NEW)[0, :, 1]
        np.testing.assert_allclose(found[objective], np.sqrt(share / 4), rtol=1e-6)
        assert (found[objective] < 0.5).all()


def test_an_ensemble_that_predicts_variances_has_the_variance_of_its_mixture() -> None:
    heads = weights_of(train(replace(VARIANCE, n_members=3)))
    found = deviations(heads, NEW)
    for objective, head in heads.items():
        means, shares = np.moveaxis(head_outputs(objective, head, NEW).astype(np.float64), -1, 0)
        second = (shares / 4 + means**2).mean(axis=0)
        expected = np.sqrt(second - means.mean(axis=0) ** 2)
        np.testing.assert_allclose(found[objective], expected, rtol=1e-6)


def test_heads_that_say_nothing_of_how_sure_they_are_have_no_deviation() -> None:
    assert deviations(weights_of(train(ALONE)), NEW) == {}
