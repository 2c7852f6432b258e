"""Trains heads by SGD with momentum, or by AdamW in one cycle of the learning rate."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR

from pipeline.heads import kinds, networks, trees
from pipeline.heads.image_axes import FIRST
from pipeline.heads.objectives import TrainingSet
from pipeline.heads.predict import STANDARD, HeadWeights
from pipeline.seeds import derive_seed

FORWARD_ROWS: Final = 1024
"""Number of rows of a forward pass on validation rows, which bounds the memory."""

WORST_MSE: Final = 1.0
"""Largest squared error of a prediction in [0, 1]: the cost of a trial that diverges."""

NetworkPlan = kinds.Hyperparameters | kinds.OneCycle
"""Settings by which a network is trained."""

Plan = NetworkPlan | kinds.Boosting
"""Settings of the training of one head."""


class DivergenceError(ValueError):
    """Raised if the training error of a head is no longer finite."""


@dataclass(frozen=True)
class Rows:
    """Numbers of the rows for training and for validation.

    Without rows for validation, the validation error is NaN.
    """

    train: Int[np.ndarray, " train"]
    validation: Int[np.ndarray, " validation"]


@dataclass(frozen=True)
class TrainedHead:
    """Weights of a trained head, and its mean squared error on the validation rows.

    Heads that were trained together hold the same arrays for the layers that they share.
    """

    weights: HeadWeights
    validation_mse: float


def train_heads(
    data: TrainingSet,
    rows: Rows,
    objectives: Sequence[str],
    plan: Plan,
    *,
    seed: int,
    kind: kinds.HeadKind = kinds.KINDS_BY_NAME[kinds.PAPER],
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, TrainedHead]:
    """Train heads that share layers on the training rows, and validate them.

    Parameters
    ----------
    data
        Inputs and targets of all rows.
    rows
        Numbers of the rows for training and for validation.
    objectives
        Objectives of the heads: one for a head that shares nothing.
    plan
        ``Hyperparameters`` of SGD, ``OneCycle`` of AdamW, or ``Boosting`` of trees.
    seed
        Fixes the initial weights and the batches of all networks.
    kind
        Tells how many networks are merged, the width of their layers, and whether inputs are
        standardised.
    advance
        Called with 1 after each epoch.

    Returns
    -------
    The trained heads by objective.

    Raises
    ------
    ValueError
        If an input or a target is not finite.
    DivergenceError
        If the training error is not finite; a learning rate too high for raw tokens is the usual
        cause.

    Notes
    -----
    ``Hyperparameters`` train by ``torch.optim.SGD``, a ``OneCycle`` by ``torch.optim.AdamW`` and
    ``OneCycleLR``. In the paper, tokens are not standardised.

    To train the paper's nine heads in one batched network would take 1.2 to 1.5 times as long: a
    step would read and write 35 MB, which fit in no processor cache. One head fits.
    """
    if isinstance(plan, kinds.Boosting):
        return {name: _boosted(data, rows, name, plan, seed, advance) for name in objectives}
    tensors = _tensors(data, rows, objectives, kind)
    n_inputs, seeds = data.inputs.shape[1], _member_seeds(seed, kind.n_members)
    together = [
        networks.initial_network(objectives, n_inputs, network_seed, hidden=kind.hidden)
        for network_seed in seeds
    ]
    trainings = [
        _epochs(tensors, network, objectives, plan, network_seed)
        for network, network_seed in zip(together, seeds, strict=True)
    ]
    for _ in zip(*trainings, strict=True):
        advance(1)
    merged = networks.merged(together)
    errors = _validation_errors(merged, tensors)
    heads = [{**weights, **tensors.standardisation} for weights in merged.tensors()]
    if data.axes:
        # Once, because the heads share the first layer.
        first = data.axes.unfolded({name: heads[0][name] for name in (*FIRST, *STANDARD)})
        heads = [{**weights, **first} for weights in heads]
    return {
        objective: TrainedHead(weights, float(error))
        for objective, weights, error in zip(objectives, heads, errors, strict=True)
    }


def _boosted(
    data: TrainingSet,
    rows: Rows,
    objective: str,
    plan: kinds.Boosting,
    seed: int,
    advance: Callable[[int], None],
) -> TrainedHead:
    """Train trees for one objective."""
    target = data.targets[objective]
    _check(data.inputs, target[:, np.newaxis])
    nodes = trees.fit_trees(data.inputs[rows.train], target[rows.train], plan, seed=seed)
    n_blocks = 1 + len(rows.validation) // FORWARD_ROWS
    errors = np.concatenate(
        [
            np.square(trees.predict_trees(nodes, data.inputs[block]) - target[block])
            for block in np.array_split(rows.validation, n_blocks)
        ]
    )
    advance(1)
    return TrainedHead({trees.NODES: nodes}, float(errors.mean()) if len(errors) else np.nan)


def _member_seeds(seed: int, n_members: int) -> list[int]:
    """Seeds of the networks of a training; the first network has the seed of the training."""
    further = (derive_seed(seed, f"network {number}") for number in range(1, n_members))
    return [seed, *further]


def validation_cost(
    data: TrainingSet,
    rows: Rows,
    objective: str,
    plan: kinds.Hyperparameters,
    *,
    seed: int,
) -> float:
    """Train a head of kind ``paper``; return its mean squared error on the validation rows.

    A training that diverges costs ``WORST_MSE``.

    Raises
    ------
    ValueError
        If an input or a target is not finite.
    """
    tensors = _tensors(data, rows, [objective], kinds.KINDS_BY_NAME[kinds.PAPER])
    network = networks.initial_network([objective], data.inputs.shape[1], seed)
    try:
        deque(_epochs(tensors, network, [objective], plan, seed), maxlen=0)
    except DivergenceError:
        return WORST_MSE
    return float(_validation_errors(network, tensors)[0])


@dataclass(frozen=True)
class _Tensors:
    """Inputs and targets from which several heads are trained at once, on one device."""

    inputs: Float[Tensor, "row input"]
    standardisation: HeadWeights
    """Mean and standard deviation of every input; empty for a kind that does not standardise."""
    targets: Float[Tensor, "row output"]
    train: Int[Tensor, " train"]
    validation: Int[Tensor, " validation"]

    def take(self, rows: Int[Tensor, " batch"]) -> Float[Tensor, "batch input"]:
        """Inputs of a batch of rows, standardised if the kind of heads standardises."""
        batch = self.inputs[rows]
        if not self.standardisation:
            return batch
        mean, deviation = (torch.from_numpy(self.standardisation[name]) for name in STANDARD)
        return batch.sub_(mean).div_(deviation)


def _tensors(
    data: TrainingSet, rows: Rows, objectives: Sequence[str], kind: kinds.HeadKind
) -> _Tensors:
    targets = np.stack([data.targets[objective] for objective in objectives], axis=1)
    _check(data.inputs, targets)
    standardisation = (
        networks.standardisation(data.inputs, rows.train) if kind.is_standardised else {}
    )
    return _Tensors(
        torch.from_numpy(data.inputs),
        standardisation,
        torch.from_numpy(targets),
        torch.from_numpy(rows.train),
        torch.from_numpy(rows.validation),
    )


def _check(inputs: np.ndarray, targets: np.ndarray) -> None:
    for name, values in (("inputs", inputs), ("targets", targets)):
        # Check sums of rows, because a flag for each value would take gigabytes. A finite row has
        # a finite sum in double precision.
        bad = np.flatnonzero(~np.isfinite(values.sum(axis=1, dtype=np.float64)))
        if len(bad):
            raise ValueError(f"{name} must be finite, got {len(bad)} rows that are not: {bad[0]}..")


def optimizer_of(
    network: networks.Network, plan: NetworkPlan, n_batches: int
) -> torch.optim.Optimizer:
    """Make the optimizer of a network, which steps by the gradients that ``network`` holds.

    With a ``OneCycle``, each step also moves the learning rate.

    Parameters
    ----------
    n_batches
        Number of steps in an epoch.
    """
    parameters = [*network.weights, *network.biases]
    gradients = (*network.weight_gradients, *network.bias_gradients)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    # Fused optimizers pass once over weights, gradients and state.
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
    tensors: _Tensors,
    network: networks.Network,
    objectives: Sequence[str],
    plan: NetworkPlan,
    seed: int,
) -> Iterator[None]:
    """Train a network, and yield after each epoch.

    Raises
    ------
    DivergenceError
        If a training error is not finite.
    """
    train = tensors.train
    optimizer = optimizer_of(network, plan, -(-len(train) // plan.batch_size))
    generator = torch.Generator().manual_seed(derive_seed(seed, "batches"))
    for epoch in range(plan.epochs):
        total = torch.zeros(len(objectives), device="cpu")
        order = train[torch.randperm(len(train), generator=generator, device="cpu")]
        for batch in torch.split(order, plan.batch_size):
            total += networks.fill_gradients(network, tensors.take(batch), tensors.targets[batch])
            optimizer.step()
        errors = total.numpy().astype(np.float64) / len(train)
        for objective, error in zip(objectives, errors, strict=True):
            if not np.isfinite(error):
                raise DivergenceError(
                    f"training error of {objective} must stay finite, got {error} in epoch "
                    f"{epoch + 1} with {plan}"
                )
        yield


def _validation_errors(
    network: networks.Network, tensors: _Tensors
) -> Float[np.ndarray, " output"]:
    total = np.zeros(tensors.targets.shape[1])
    for rows in torch.split(tensors.validation, FORWARD_ROWS):
        predicted = networks.outputs(network, tensors.take(rows))
        total += (predicted - tensors.targets[rows]).square().sum(0).numpy()
    n_rows = len(tensors.validation)
    return total / n_rows if n_rows else np.full_like(total, np.nan)
