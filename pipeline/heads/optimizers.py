"""Optimizers of heads: SGD with momentum, or AdamW in one cycle of the learning rate."""

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
    """Steps of the networks of a head."""

    steps: torch.optim.Optimizer
    schedule: OneCycleLR | None = None

    def step(self) -> None:
        """One step by the gradients that the networks hold."""
        self.steps.step()
        if self.schedule is not None:
            self.schedule.step()


def optimizer_of(networks: Networks, plan: Plan, n_batches: int) -> Optimizer:
    """Optimizer of the networks of a head.

    Parameters
    ----------
    n_batches
        Steps of an epoch.
    """
    parameters = [*networks.weights, *networks.biases]
    gradients = (*networks.weight_gradients, *networks.bias_gradients)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    # Fused: one pass over weights, gradients and what the optimizer keeps of earlier steps.
    if isinstance(plan, OneCycle):
        adam = torch.optim.AdamW(
            parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
        )
        n_steps = plan.epochs * n_batches
        return Optimizer(adam, OneCycleLR(adam, plan.learning_rate, total_steps=n_steps))
    sgd = torch.optim.SGD(
        parameters,
        lr=plan.learning_rate,
        momentum=plan.momentum,
        weight_decay=WEIGHT_DECAY,
        fused=True,
    )
    return Optimizer(sgd)
