"""Gradients written by hand against autograd through PyTorch's own losses."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pipeline.heads.losses import LOSSES
from pipeline.heads.predict import GREATEST_VARIANCE

N_HEADS, N_ROWS = 3, 50


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.mse_loss(outputs[..., 0], targets, reduction="sum")


def gaussian_nll(outputs: Tensor, targets: Tensor) -> Tensor:
    mean, scale = outputs.unbind(-1)
    return nn.functional.gaussian_nll_loss(
        mean, targets, GREATEST_VARIANCE * scale, reduction="sum"
    )


@pytest.mark.parametrize(
    ("name", "loss"), [("squared_error", squared_error), ("gaussian_nll", gaussian_nll)]
)
@pytest.mark.parametrize("spread", [1.0, 20.0])
def test_gradients_are_those_of_torch(
    name: str, loss: Callable[[Tensor, Tensor], Tensor], spread: float
) -> None:
    torch.manual_seed(0)
    shape = (N_HEADS, N_ROWS, LOSSES[name].n_outputs)
    # The wider ones saturate the sigmoid: means of 0 and 1, and variances below the least.
    logits = (spread * torch.randn(shape, dtype=torch.float64)).requires_grad_()
    targets = torch.rand(N_HEADS, N_ROWS, dtype=torch.float64)
    (expected,) = torch.autograd.grad(loss(logits.sigmoid(), targets), logits)
    found = LOSSES[name].gradient(logits.detach().sigmoid(), targets)
    torch.testing.assert_close(found, expected)


def test_every_loss_is_compared() -> None:
    assert set(LOSSES) == {"squared_error", "gaussian_nll"}
