from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from math import ceil

import numpy as np
import pytest
import torch
from scipy.special import logit
from torch import nn

from pipeline.heads.kinds import KINDS_BY_NAME, WEIGHT_DECAY, Hyperparameters, OneCycle
from pipeline.heads.networks import standardisation
from pipeline.heads.objectives import TrainingSet
from pipeline.heads.predict import HIDDEN, OUTPUT_LAYER, STANDARD, HeadWeights, predict
from pipeline.heads.training import (
    WORST_MSE,
    DivergenceError,
    NetworkPlan,
    Rows,
    TrainedHead,
    train_heads,
    validation_cost,
)
from pipeline.seeds import derive_seed
from tests.fixtures.mini import OBJECTIVES

PLAN = Hyperparameters(epochs=3, batch_size=16, learning_rate=0.05, momentum=0.8)
SEED = 7


def draw_data(n_rows: int = 90, n_inputs: int = 12) -> TrainingSet:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(n_rows, n_inputs)).astype(np.float32)
    slopes = rng.normal(size=(n_inputs, len(OBJECTIVES)))
    targets = (1 / (1 + np.exp(-inputs @ slopes))).astype(np.float32)
    by_objective = dict(zip(OBJECTIVES, targets.T.copy(), strict=True))
    return TrainingSet(inputs, by_objective, np.arange(n_rows))


DATA = draw_data()
ROWS = Rows(np.arange(0, 90, 2), np.arange(1, 90, 2))


def optimised(
    plan: NetworkPlan, module: nn.Module, steps_per_epoch: int
) -> tuple[torch.optim.Optimizer, Callable[[], None]]:
    """The optimizer of a plan, and what follows each of its steps."""
    if isinstance(plan, Hyperparameters):
        sgd = torch.optim.SGD(
            module.parameters(),
            lr=plan.learning_rate,
            momentum=plan.momentum,
            weight_decay=WEIGHT_DECAY,
        )
        return sgd, lambda: None
    adam = torch.optim.AdamW(module.parameters(), weight_decay=plan.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        adam, plan.learning_rate, epochs=plan.epochs, steps_per_epoch=steps_per_epoch
    )
    return adam, schedule.step


def train_alone(
    data: TrainingSet, rows: Rows, objectives: list[str], plan: NetworkPlan, *, hidden: int = HIDDEN
) -> Sequence[HeadWeights]:
    """The same heads by nn.Sequential, autograd and torch.optim."""
    widths = [data.inputs.shape[1], hidden, hidden, len(objectives)]
    layers = [nn.Linear(*shape) for shape in pairwise(widths)]
    generator = torch.Generator().manual_seed(derive_seed(SEED, *objectives))
    for layer in layers:
        bound = layer.in_features**-0.5
        # Drawn in the layout (inputs, outputs), hence the transpose.
        drawn = torch.empty(layer.in_features, layer.out_features)
        layer.weight.data = drawn.uniform_(-bound, bound, generator=generator).T.contiguous()
        layer.bias.data.uniform_(-bound, bound, generator=generator)
    module = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2], nn.Sigmoid())
    optimizer, advance = optimised(plan, module, ceil(len(rows.train) / plan.batch_size))
    inputs = torch.from_numpy(data.inputs)
    target = torch.from_numpy(np.stack([data.targets[name] for name in objectives], axis=1))
    order = torch.Generator().manual_seed(derive_seed(SEED, "batches"))
    train = torch.from_numpy(rows.train)
    for _ in range(plan.epochs):
        shuffled = train[torch.randperm(len(train), generator=order)]
        for batch in torch.split(shuffled, plan.batch_size):
            optimizer.zero_grad()
            (module(inputs[batch]) - target[batch]).square().mean().backward()
            optimizer.step()
            advance()
    weights = {
        f"layers.{i}.{part}": getattr(layer, part).detach().numpy()
        for i, layer in enumerate(layers)
        for part in ("weight", "bias")
    }
    return [
        weights | {name: weights[name][row : row + 1] for name in OUTPUT_LAYER}
        for row in range(len(objectives))
    ]


def assert_same_head(found: HeadWeights, expected: HeadWeights) -> None:
    assert set(found) == set(expected)
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=2e-5, err_msg=name)
        assert found[name].dtype == np.float32


PLANS = {
    "iou_tiny": PLAN,
    "model_gap": replace(PLAN, epochs=5, learning_rate=0.01),
    "iou_refined": replace(PLAN, batch_size=7, momentum=0.0),
    "task_gap": replace(PLAN, epochs=1, momentum=0.3),
}


def train_all() -> dict[str, TrainedHead]:
    """A head for each plan."""
    return {
        name: train_heads(DATA, ROWS, [name], plan, seed=SEED)[name] for name, plan in PLANS.items()
    }


def test_heads_equal_those_of_torch() -> None:
    trained = train_all()
    for objective, plan in PLANS.items():
        (weights,) = train_alone(DATA, ROWS, [objective], plan)
        assert_same_head(trained[objective].weights, weights)


ONE_CYCLE = OneCycle(epochs=4, batch_size=16, learning_rate=1e-2, weight_decay=0.05)
OURS = replace(KINDS_BY_NAME["ours"], hidden=24, n_members=1, plan=ONE_CYCLE)


def test_heads_that_share_standardised_layers_in_one_cycle_equal_those_of_torch() -> None:
    """Inputs of very different scales, the last of them constant."""
    scale = 10.0 ** np.linspace(-3, 3, 12)
    inputs = ((DATA.inputs + 2) * scale).astype(np.float32)
    inputs[:, -1] = 0.3
    learned = inputs[ROWS.train].astype(np.float64)
    mean, deviation = (x.astype(np.float32) for x in (learned.mean(axis=0), learned.std(axis=0)))
    deviation[-1] = 1
    raw, standard = (replace(DATA, inputs=x) for x in (inputs, (inputs - mean) / deviation))
    before = inputs.copy()
    objectives = ["iou_tiny", "model_gap", "iou_refined"]
    heads = train_heads(raw, ROWS, objectives, ONE_CYCLE, seed=SEED, kind=OURS)
    assert list(heads) == objectives
    expected = train_alone(standard, ROWS, objectives, ONE_CYCLE, hidden=OURS.hidden)
    predicted = predict({name: head.weights for name, head in heads.items()}, inputs)
    own = dict(zip(STANDARD, (mean, deviation), strict=True))
    for (name, head), weights in zip(heads.items(), expected, strict=True):
        assert_same_head(head.weights, {**weights, **own})
        error = (predicted[name] - DATA.targets[name])[ROWS.validation]
        assert head.validation_mse == pytest.approx(np.mean(error**2), rel=1e-4)
    first, second, _ = heads.values()
    assert first.weights["layers.0.weight"] is second.weights["layers.0.weight"]
    np.testing.assert_array_equal(inputs, before)


def test_the_logit_of_a_merged_head_is_the_mean_of_the_logits_of_its_networks() -> None:
    objectives = ["iou_tiny", "model_gap"]

    def trained(seed: int, n_members: int) -> dict[str, TrainedHead]:
        kind = replace(OURS, n_members=n_members)
        return train_heads(DATA, ROWS, objectives, ONE_CYCLE, seed=seed, kind=kind)

    seeds = (SEED, derive_seed(SEED, "network 1"), derive_seed(SEED, "network 2"))
    merged, networks = trained(SEED, 3), [trained(seed, 1) for seed in seeds]
    for name, head in merged.items():
        logits = [
            logit(predict({name: network[name].weights}, DATA.inputs)[name]) for network in networks
        ]
        predicted = predict({name: head.weights}, DATA.inputs)[name]
        np.testing.assert_allclose(logit(predicted), np.mean(logits, axis=0), atol=1e-4)
        assert np.std(logits, axis=0).max() > 0.1
        error = (predicted - DATA.targets[name])[ROWS.validation]
        assert head.validation_mse == pytest.approx(np.mean(error**2), rel=1e-4)


@pytest.mark.parametrize("mean", [0.0, 1.0, 1000.0])
@pytest.mark.parametrize("spread", [1e-7, 1e-5])
def test_an_input_is_constant_if_it_varies_by_less_than_a_millionth(
    mean: float, spread: float
) -> None:
    """Of its mean, or of 1 where the mean is smaller."""
    signs = np.array([[1], [-1]])
    inputs = (mean + max(1, mean) * spread * signs).astype(np.float32)
    deviation = standardisation(inputs, np.arange(2))[STANDARD[1]]
    expected = inputs.astype(np.float64).std() if spread > 1e-6 else 1
    np.testing.assert_allclose(deviation, [expected], rtol=1e-6)


def test_neither_rows_that_do_not_train_nor_the_size_of_blocks_change_a_mean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = standardisation(DATA.inputs, ROWS.train)
    others = DATA.inputs.copy()
    others[ROWS.validation] += 1e6
    monkeypatch.setattr("pipeline.heads.networks.BLOCK_ROWS", 7)
    in_blocks = standardisation(others, ROWS.train)
    for name in STANDARD:
        np.testing.assert_array_equal(in_blocks[name], whole[name])


def test_validation_error_is_that_of_the_predictions_on_rows_that_did_not_train() -> None:
    trained = train_all()
    for objective, head in trained.items():
        found = predict({objective: head.weights}, DATA.inputs[ROWS.validation])[objective]
        target = DATA.targets[objective][ROWS.validation]
        expected = np.mean((found - target) ** 2)
        assert head.validation_mse == pytest.approx(expected, rel=1e-5)


def test_validation_in_blocks_equals_validation_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train_all()
    monkeypatch.setattr("pipeline.heads.training.FORWARD_ROWS", 4)
    blocks = train_all()
    for objective in PLANS:
        np.testing.assert_allclose(
            blocks[objective].validation_mse, whole[objective].validation_mse, rtol=1e-6
        )


def test_two_runs_give_the_same_bits_whatever_the_default_device_of_torch() -> None:
    runs = []
    for device in ("cpu", "meta"):
        with torch.device(device):
            in_one_cycle = train_heads(DATA, ROWS, ["iou_tiny"], ONE_CYCLE, seed=SEED, kind=OURS)
            runs.append([*train_all().values(), *in_one_cycle.values()])
    for first, second in zip(*runs, strict=True):
        for name, tensor in first.weights.items():
            assert tensor.tobytes() == second.weights[name].tobytes()


def test_without_rows_that_validate_their_error_is_nan() -> None:
    rows = Rows(ROWS.train, np.arange(0))
    head = train_heads(DATA, rows, ["iou_tiny"], PLAN, seed=0)["iou_tiny"]
    assert np.isnan(head.validation_mse)


def test_divergence_names_objective_epoch_and_hyperparameters() -> None:
    wild = replace(PLAN, learning_rate=1e30)
    with pytest.raises(
        DivergenceError, match=r"of iou_small must stay finite, got nan in epoch .*"
    ):
        train_heads(DATA, ROWS, ["iou_small"], wild, seed=0)
    with pytest.raises(DivergenceError, match=r"learning_rate=1e\+30"):
        train_heads(DATA, ROWS, ["iou_small"], wild, seed=0)


@pytest.mark.parametrize("name", ["inputs", "targets"])
def test_rows_that_are_not_finite_are_counted(name: str) -> None:
    inputs, target = DATA.inputs.copy(), DATA.targets["iou_tiny"].copy()
    {"inputs": inputs[:, 1], "targets": target}[name][[3, 5]] = np.nan
    faulty = replace(DATA, inputs=inputs, targets={**DATA.targets, "iou_tiny": target})
    with pytest.raises(ValueError, match=f"{name} must be finite, got 2 rows that are not"):
        train_heads(faulty, ROWS, ["iou_tiny"], PLAN, seed=0)


def test_cost_of_a_trial_is_the_validation_error_after_its_last_epoch() -> None:
    trained = train_heads(DATA, ROWS, ["iou_tiny"], PLAN, seed=SEED)["iou_tiny"]
    cost = validation_cost(DATA, ROWS, "iou_tiny", PLAN, seed=SEED)
    assert cost == trained.validation_mse


def test_a_trial_that_diverges_costs_most() -> None:
    wild = replace(PLAN, learning_rate=1e30)
    assert validation_cost(DATA, ROWS, "iou_tiny", wild, seed=0) == WORST_MSE
