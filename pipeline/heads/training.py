"""Training of heads: SGD with momentum, or AdamW in one cycle of the learning rate."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice, repeat
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR

from pipeline.heads import kinds, networks
from pipeline.heads.objectives import TrainingSet
from pipeline.heads.predict import STANDARD, HeadWeights
from pipeline.seeds import derive_seed

FORWARD_ROWS: Final = 1024
"""Rows of a forward pass without training: bounds its memory."""

WORST_MSE: Final = 1.0
"""Largest error between a target and a prediction in [0, 1]: the cost of a trial that diverges."""

MOST_EPOCHS: Final = int(kinds.RANGES["epochs"][1])

Plan = kinds.Hyperparameters | kinds.OneCycle
"""How one head is trained."""


class DivergenceError(ValueError):
    """The training error of a head is no longer finite."""


@dataclass(frozen=True)
class Rows:
    """Rows for training and for validation; without the latter, validation errors are NaN."""

    train: Int[np.ndarray, " train"]
    validation: Int[np.ndarray, " validation"]


@dataclass(frozen=True)
class TrainedHead:
    """A head, and its mean squared error in each epoch.

    Attributes
    ----------
    train_mse
        Mean over the epoch's rows, each scored before the step that learns from it.
    validation_mse
        At the end of the epoch.
    """

    weights: HeadWeights
    train_mse: Float[np.ndarray, " epoch"]
    validation_mse: Float[np.ndarray, " epoch"]


def train_head(
    data: TrainingSet,
    rows: Rows,
    objective: str,
    plan: Plan,
    *,
    seed: int,
    kind: kinds.HeadKind = kinds.KINDS_BY_NAME[kinds.PAPER],
    advance: Callable[[int], None] = lambda _: None,
) -> TrainedHead:
    """Train the head of an objective.

    Parameters
    ----------
    plan
        How to train it.
    seed
        Seeds initial weights and batches.
    kind
        Gives the width of the hidden layers, and whether inputs are standardised.
    advance
        Called with 1 after each epoch.

    Raises
    ------
    ValueError
        If a row is not finite.
    DivergenceError
        If a loss is not finite; a learning rate too high for raw tokens is the usual cause.

    Notes
    -----
    SGD with momentum and weight decay as ``torch.optim.SGD``; a ``OneCycle`` as
    ``torch.optim.AdamW`` and ``OneCycleLR``. In the paper, tokens enter as the decoder gives
    them.

    Heads side by side in one batched network would take 1.2 to 1.5 times as long: what a step
    reads and writes of nine heads of the paper, 35 MB, fits in no cache; of one it does.
    """
    learned = _tensors(data, rows, objective, kind)
    network = networks.initial_network(objective, data.inputs.shape[1], seed, hidden=kind.hidden)
    errors = np.empty((2, plan.epochs))
    for epoch, both in enumerate(_epochs(learned, network, objective, plan, seed)):
        errors[:, epoch] = both
        advance(1)
    return TrainedHead({**network.tensors(), **learned.scale}, *errors)


def validation_errors(
    data: TrainingSet,
    rows: Rows,
    objective: str,
    plan: Plan,
    *,
    seed: int,
) -> Iterator[float]:
    """Validation error of a ``paper`` head after each epoch, trained when its error is read.

    Without end: ``WORST_MSE`` from where training diverges, or ends.

    Raises
    ------
    ValueError
        As ``train_head``.
    """
    learned = _tensors(data, rows, objective, kinds.KINDS_BY_NAME[kinds.PAPER])
    network = networks.initial_network(objective, data.inputs.shape[1], seed)
    with suppress(DivergenceError):
        for _, error in _epochs(learned, network, objective, plan, seed):
            yield error
    yield from repeat(WORST_MSE)


def validation_cost(
    data: TrainingSet,
    rows: Rows,
    objective: str,
    plan: kinds.Hyperparameters,
    *,
    seed: int,
) -> float:
    """Mean squared error on the validation rows, after the last epoch.

    Raises
    ------
    ValueError
        As ``train_head``.
    """
    *_, last = islice(validation_errors(data, rows, objective, plan, seed=seed), plan.epochs)
    return last


def continued_costs(
    data: TrainingSet,
    rows: Rows,
    objective: str,
    *,
    seed: int,
) -> Callable[[kinds.Hyperparameters], float]:
    """``validation_cost`` by plan, which continues heads of the same plan that had fewer epochs.

    Heads stay in memory until one of them has had the most epochs; the others then start over.

    Raises
    ------
    ValueError
        As ``validation_cost``.
    """
    running: dict[kinds.Hyperparameters, tuple[int, Iterator[float]]] = {}

    def cost(plan: kinds.Hyperparameters) -> float:
        longest = replace(plan, epochs=max(plan.epochs, MOST_EPOCHS))
        n_done, costs = running.pop(longest, (plan.epochs, iter(())))
        if n_done >= plan.epochs:
            n_done, costs = 0, validation_errors(data, rows, objective, longest, seed=seed)
        *_, last = islice(costs, plan.epochs - n_done)
        if plan.epochs < longest.epochs:
            running[longest] = plan.epochs, costs
        else:
            running.clear()
        return last

    return cost


@dataclass(frozen=True)
class _Tensors:
    """What a head learns from."""

    inputs: Float[Tensor, "row input"]
    scale: HeadWeights
    """Mean and standard deviation of every input; empty if inputs enter as they are."""
    targets: Float[Tensor, " row"]
    train: Int[Tensor, " train"]
    validation: Int[Tensor, " validation"]

    def take(self, rows: Int[Tensor, " some"]) -> Float[Tensor, "some input"]:
        """Inputs of some of the rows, standardised as they are taken, or as they are."""
        taken = self.inputs[rows]
        if not self.scale:
            return taken
        mean, deviation = (torch.from_numpy(self.scale[name]) for name in STANDARD)
        return taken.sub_(mean).div_(deviation)


def _tensors(data: TrainingSet, rows: Rows, objective: str, kind: kinds.HeadKind) -> _Tensors:
    _check(data, objective)
    scale = networks.standard_of(data.inputs, rows.train) if kind.is_standardised else {}
    arrays = data.inputs, data.targets[objective], rows.train, rows.validation
    inputs, *others = map(torch.from_numpy, arrays)
    return _Tensors(inputs, scale, *others)


def _check(data: TrainingSet, objective: str) -> None:
    # Row sums, because a flag per value would take gigabytes; a double holds any sum of floats.
    sums = data.inputs.sum(axis=1, dtype=np.float64)
    for name, values in (("inputs", sums), ("targets", data.targets[objective])):
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise ValueError(f"{name} must be finite, got {len(bad)} rows that are not: {bad[0]}..")


def optimizer_of(network: networks.Network, plan: Plan, n_batches: int) -> torch.optim.Optimizer:
    """Optimizer of a head, which takes its steps by the gradients that the network holds.

    Parameters
    ----------
    n_batches
        Steps of an epoch.
    """
    parameters = [*network.weights, *network.biases]
    gradients = (*network.weight_gradients, *network.bias_gradients)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    # Fused: one pass over weights, gradients and what the optimizer keeps of earlier steps.
    if isinstance(plan, kinds.OneCycle):
        adam = torch.optim.AdamW(
            parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
        )
        rate = OneCycleLR(adam, plan.learning_rate, total_steps=plan.epochs * n_batches)
        adam.register_step_post_hook(lambda *_: rate.step())
        return adam
    return torch.optim.SGD(
        parameters,
        lr=plan.learning_rate,
        momentum=plan.momentum,
        weight_decay=kinds.WEIGHT_DECAY,
        fused=True,
    )


def _epochs(
    learned: _Tensors, network: networks.Network, objective: str, plan: Plan, seed: int
) -> Iterator[tuple[float, float]]:
    """Train a head; its errors in training and validation after each epoch."""
    train = learned.train
    optimizer = optimizer_of(network, plan, -(-len(train) // plan.batch_size))
    generator = torch.Generator().manual_seed(derive_seed(seed, "batches"))
    for epoch in range(plan.epochs):
        total = torch.zeros(())
        order = train[torch.randperm(len(train), generator=generator)]
        for batch in torch.split(order, plan.batch_size):
            total += networks.fill_gradients(network, learned.take(batch), learned.targets[batch])
            optimizer.step()
        error = float(total) / len(train)
        if not np.isfinite(error):
            raise DivergenceError(
                f"training error of {objective} must stay finite, got {error} in epoch "
                f"{epoch + 1} with {plan}"
            )
        yield error, _validate(network, learned)


def _validate(network: networks.Network, learned: _Tensors) -> float:
    """Mean squared error of what the head predicts."""
    total = 0.0
    for some in torch.split(learned.validation, FORWARD_ROWS):
        found = networks.outputs(network, learned.take(some))
        total += float((found - learned.targets[some]).square().sum())
    return total / len(learned.validation) if len(learned.validation) else np.nan
