"""What heads minimise, by the gradients with respect to what enters their sigmoid."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.heads.predict import GREATEST_VARIANCE

LEAST_VARIANCE: Final = 1e-6
"""Lower bound of the variance that a head predicts, as in ``torch.nn.GaussianNLLLoss``."""

Gradient = Callable[
    [Float[Tensor, "head row output"], Float[Tensor, "head row"]],
    Float[Tensor, "head row output"],
]
"""From outputs and targets: derivative of each row's loss."""


@dataclass(frozen=True)
class Loss:
    """What a head minimises, on average over the rows."""

    n_outputs: int
    gradient: Gradient


def _squared_error(
    outputs: Float[Tensor, "head row output"], targets: Float[Tensor, "head row"]
) -> Float[Tensor, "head row output"]:
    error = outputs - targets[..., None]
    return error * outputs * (1 - outputs) * 2


def _gaussian_nll(
    outputs: Float[Tensor, "head row output"], targets: Float[Tensor, "head row"]
) -> Float[Tensor, "head row output"]:
    """Gradient of the negative log-likelihood, 1/2 (log v + (t - m)^2 / v)."""
    mean, scale = outputs.unbind(-1)
    variance = (GREATEST_VARIANCE * scale).clamp(min=LEAST_VARIANCE)
    error = mean - targets
    of_mean = error / variance * mean * (1 - mean)
    of_variance = (1 - error.square() / variance) / (2 * variance)
    return torch.stack([of_mean, of_variance * GREATEST_VARIANCE * scale * (1 - scale)], dim=-1)


LOSSES: Final[Mapping[str, Loss]] = {
    "squared_error": Loss(1, _squared_error),
    "gaussian_nll": Loss(2, _gaussian_nll),
}
"""The mean squared error of the paper, and the likelihood of a Gaussian whose mean and variance the
head predicts (Kendall and Gal, arXiv 1703.04977)."""
