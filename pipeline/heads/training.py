"""Training of all heads of a split at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.head_sets import KINDS_BY_NAME, PAPER, HeadKind, OneCycle
from pipeline.heads.losses import LOSSES
from pipeline.heads.networks import Networks, fill_gradients, initial_networks, means
from pipeline.heads.objectives import TrainingSet
from pipeline.heads.optimizers import Optimizer, Plan, optimizer_of
from pipeline.heads.predict import HeadWeights
from pipeline.heads.standard import Inputs, standard_of
from pipeline.seeds import derive_seed
from pipeline.vocabulary import OBJECTIVES

FORWARD_ROWS: Final = 1024
"""Rows of a forward pass without training: bounds its memory."""

_Tensors = tuple[Inputs, Float[Tensor, "head row"]]
"""Inputs and targets of all heads of a group, whether still running or done."""


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


def train_heads(
    data: TrainingSet,
    rows: Rows,
    plans: Mapping[str, Plan],
    *,
    seed: int,
    kind: HeadKind = KINDS_BY_NAME[PAPER],
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, TrainedHead]:
    """Train one head per objective.

    Parameters
    ----------
    plans
        How to train each objective. Those that share a batch size are trained together; the
        other hyperparameters of SGD may differ.
    seed
        Seeds initial weights and batches. A head does not depend on the heads beside it.
    kind
        Gives the width of the hidden layers, and whether inputs are standardised.
    advance
        Called after each epoch with the number of heads that went through it.

    Raises
    ------
    ValueError
        If there is no row to train on, a row is not finite, or an objective is unknown.
    DivergenceError
        If a loss is not finite; a learning rate too high for raw tokens is the usual cause.

    Notes
    -----
    SGD with momentum and weight decay as ``torch.optim.SGD``; a ``OneCycle`` as
    ``torch.optim.AdamW`` and ``OneCycleLR``. In the paper, tokens enter as the decoder gives
    them. The networks of an ensemble see the same batches.
    """
    _check(data, rows, plans)
    trained: dict[str, TrainedHead] = {}
    for objectives in group_by_batch_size(plans):
        group = {objective: plans[objective] for objective in objectives}
        trained |= _train_group(data, rows, group, seed=seed, kind=kind, advance=advance)
    return {objective: trained[objective] for objective in plans}


def group_by_batch_size(plans: Mapping[str, Plan]) -> list[tuple[str, ...]]:
    """Objectives that train together; in each group, those with the most epochs come first.

    Those of a ``OneCycle`` share all of it: their learning rates rise and fall together.
    """
    groups: dict[int | OneCycle, list[str]] = {}
    for objective, plan in plans.items():
        key = plan if isinstance(plan, OneCycle) else plan.batch_size
        groups.setdefault(key, []).append(objective)
    return [
        tuple(sorted(group, key=lambda objective: -plans[objective].epochs))
        for group in groups.values()
    ]


def _check(data: TrainingSet, rows: Rows, plans: Mapping[str, Plan]) -> None:
    for objective in plans:
        if objective not in OBJECTIVES:
            raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}, got {objective!r}")
    if not len(rows.train):
        raise ValueError("heads must train on at least one row, got none")
    for name, values in (("inputs", data.inputs), ("targets", data.targets)):
        # Row sums, because a flag per value would take gigabytes; a double holds any sum of floats.
        bad = np.flatnonzero(~np.isfinite(values.sum(axis=1, dtype=np.float64)))
        if len(bad):
            raise ValueError(f"{name} must be finite, got {len(bad)} rows that are not: {bad[0]}..")


def _train_group(
    data: TrainingSet,
    rows: Rows,
    plans: Mapping[str, Plan],
    *,
    seed: int,
    kind: HeadKind,
    advance: Callable[[int], None],
) -> dict[str, TrainedHead]:
    """Train heads that share a batch size; those with the most epochs come first."""
    epochs = [plan.epochs for plan in plans.values()]
    (batch_size,) = {plan.batch_size for plan in plans.values()}
    scale = standard_of(data.inputs, rows.train) if kind.is_standardised else {}
    members = [objective for objective in plans for _ in range(kind.n_members)]
    tensors = Inputs(data.inputs, scale), _targets(data, members)
    train, validation = torch.from_numpy(rows.train), torch.from_numpy(rows.validation)
    networks = initial_networks(
        tuple(plans),
        data.inputs.shape[1],
        seed,
        hidden=kind.hidden,
        n_outputs=LOSSES[kind.loss].n_outputs,
        n_members=kind.n_members,
    )
    optimizer = optimizer_of(
        networks, [plans[name] for name in members], -(-len(train) // batch_size)
    )
    generator = torch.Generator().manual_seed(derive_seed(seed, "batches"))
    mse = np.full((2, len(plans), max(epochs)), np.nan)
    for epoch in range(max(epochs)):
        n_running = sum(n > epoch for n in epochs)
        running = networks.first(n_running * kind.n_members)
        optimizer.stop(running.n_heads)
        order = train[torch.randperm(len(train), generator=generator)]
        mse[0, :n_running, epoch] = _train_epoch(
            running, optimizer, tensors, torch.split(order, batch_size), kind
        )
        _check_finite(mse[0, :n_running, epoch], plans, epoch)
        mse[1, :n_running, epoch] = _validate(running, tensors, validation, kind)
        advance(n_running)
    return {
        objective: TrainedHead(
            {**networks.head(_place(i, kind)), **scale}, *mse[:, i, : epochs[i]].copy()
        )
        for i, objective in enumerate(plans)
    }


def _place(head: int, kind: HeadKind) -> int | slice:
    """Where the networks of a head are."""
    first = head * kind.n_members
    return slice(first, first + kind.n_members) if kind.n_members > 1 else first


def _targets(data: TrainingSet, objectives: Iterable[str]) -> Float[Tensor, "head row"]:
    columns = [OBJECTIVES.index(objective) for objective in objectives]
    return torch.from_numpy(np.ascontiguousarray(data.targets[:, columns].T))


def _train_epoch(
    networks: Networks,
    optimizer: Optimizer,
    tensors: _Tensors,
    batches: Sequence[Int[Tensor, "..."]],
    kind: HeadKind,
) -> Float[np.ndarray, " running"]:
    """Step once per batch; return the mean squared error over the epoch, and over the members."""
    loss = LOSSES[kind.loss]
    inputs, targets = tensors[0], tensors[1][: networks.n_heads]
    total = torch.zeros(networks.n_heads)
    for batch in batches:
        total += fill_gradients(networks, inputs.take(batch), targets[:, batch], loss)
        optimizer.step()
    by_head: Float[np.ndarray, " running"] = total.numpy().reshape(-1, kind.n_members).mean(axis=1)
    return by_head / np.float64(sum(map(len, batches)))


def _validate(
    networks: Networks, tensors: _Tensors, rows: Int[Tensor, " validation"], kind: HeadKind
) -> Float[np.ndarray, " running"]:
    """Mean squared error of what the heads predict: of an ensemble, the members' mean."""
    inputs, targets = tensors[0], tensors[1][: networks.n_heads : kind.n_members]
    total = np.zeros(len(targets))
    for some in torch.split(rows, FORWARD_ROWS):
        by_member = means(networks, inputs.take(some)).view(len(targets), kind.n_members, -1)
        total += (by_member.mean(1) - targets[:, some]).square().sum(1).numpy()
    return total / len(rows) if len(rows) else np.full(len(targets), np.nan)


def _check_finite(
    mse: Float[np.ndarray, " running"], plans: Mapping[str, Plan], epoch: int
) -> None:
    for value, (objective, plan) in zip(mse, plans.items(), strict=False):
        if not np.isfinite(value):
            raise DivergenceError(
                f"training error of {objective} must stay finite, got {value} in epoch {epoch + 1} "
                f"with {plan}"
            )
