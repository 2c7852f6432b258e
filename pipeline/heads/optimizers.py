"""Optimizers of heads side by side: SGD, each with its hyperparameters, or AdamW in one cycle."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.optim.lr_scheduler import OneCycleLR

from pipeline.head_sets import OneCycle
from pipeline.heads.hyperparameters import WEIGHT_DECAY, Hyperparameters
from pipeline.heads.networks import Networks

Plan = Hyperparameters | OneCycle
"""How one head is trained."""


@dataclass(frozen=True)
class Optimizer:
    """Steps of all heads that are still running."""

    steps: torch.optim.Optimizer
    schedule: OneCycleLR | None = None

    def step(self) -> None:
        """One step by the gradients that the networks hold."""
        self.steps.step()
        if self.schedule is not None:
            self.schedule.step()

    def stop(self, n_running: int) -> None:
        """Leave all but the first heads as they are."""
        # The optimizer skips parameters without a gradient.
        for group in self.steps.param_groups[n_running:]:
            for parameter in group["params"]:
                parameter.grad = None


def optimizer_of(networks: Networks, plans: Sequence[Plan], n_batches: int) -> Optimizer:
    """Optimizer of heads that share a batch size; those of a ``OneCycle`` share all of it.

    Parameters
    ----------
    n_batches
        Steps of an epoch.
    """
    first = plans[0]
    if isinstance(first, OneCycle):
        return _one_cycle(networks, first, n_batches)
    return Optimizer(_sgd(networks, [plan for plan in plans if isinstance(plan, Hyperparameters)]))


def _one_cycle(networks: Networks, plan: OneCycle, n_batches: int) -> Optimizer:
    parameters = [*networks.weights, *networks.biases]
    gradients = (*networks.weight_gradients, *networks.bias_gradients)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    steps = torch.optim.AdamW(
        parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
    )
    n_steps = plan.epochs * n_batches
    return Optimizer(steps, OneCycleLR(steps, plan.learning_rate, total_steps=n_steps))


def _sgd(networks: Networks, plans: Sequence[Hyperparameters]) -> torch.optim.SGD:
    """Give each head a parameter group: views of the batched tensors and of their gradients."""
    tensors = (*networks.weights, *networks.biases)
    gradients = (*networks.weight_gradients, *networks.bias_gradients)
    groups = []
    for head, plan in enumerate(plans):
        parameters = [tensor[head] for tensor in tensors]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient[head]
        groups.append({"params": parameters, "lr": plan.learning_rate, "momentum": plan.momentum})
    # Fused: one pass over weights, gradients and velocities, which no cache holds for all heads.
    return torch.optim.SGD(groups, weight_decay=WEIGHT_DECAY, fused=True)
