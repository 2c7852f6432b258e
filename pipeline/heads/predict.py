"""Trained heads: what they predict of a model's masks."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Float32

HeadWeights = Mapping[str, np.ndarray]
"""``layers.{0,1,2}.{weight,bias}`` as float32, in the layout of ``torch.nn.Linear``, in an ensemble
with an axis of members before; where inputs are standardised, ``STANDARD``, and where the last
layer has a posterior, ``LAPLACE``, too."""

STANDARD: Final = ("inputs.mean", "inputs.scale")
"""Mean and standard deviation of every input in training."""

LAPLACE: Final = ("laplace.root", "laplace.noise")
"""R, where R R^T is the posterior covariance of the last layer's weights and bias; the standard
deviation of a target around the output."""

N_LAYERS: Final = 3
"""Linear layers of a head."""

HIDDEN: Final = 512
"""Width of the two hidden layers of the paper's heads."""

MAX_OUTPUTS: Final = 2
"""Most outputs that a head has: the mean of its target and, if it predicts that, the variance."""

GREATEST_VARIANCE: Final = 0.25
"""Largest variance of anything in [0, 1]; the second output is a share of it."""


def predict(
    heads: Mapping[str, HeadWeights], inputs: Float32[np.ndarray, "row input"]
) -> dict[str, Float32[np.ndarray, " row"]]:
    """Score the same rows with every head, in [0, 1].

    Parameters
    ----------
    heads
        Weights by objective.
    inputs
        As ``pipeline.heads.inputs.set_inputs`` returns them.

    Raises
    ------
    ValueError
        If the tensors of a head do not form an MLP, or it expects inputs of another width (a
        head of another family is the usual cause).

    Notes
    -----
    Linear, ReLU, Linear, ReLU, Linear, sigmoid (Sec. 3.3); of an ensemble, the mean. NumPy
    suffices: a stage that only predicts starts without PyTorch.
    """
    return {
        objective: head_outputs(objective, head, inputs)[..., 0].mean(axis=0)
        for objective, head in heads.items()
    }


def head_outputs(
    objective: str, head: HeadWeights, inputs: Float32[np.ndarray, "row input"]
) -> Float32[np.ndarray, "member row output"]:
    """All that a head says of each row, in [0, 1]; a head is an ensemble of one.

    Raises
    ------
    ValueError
        As ``predict``.
    """
    return last_outputs(head, hidden_features(objective, head, inputs))


def last_outputs(
    head: HeadWeights, hidden: Float32[np.ndarray, "member row hidden"]
) -> Float32[np.ndarray, "member row output"]:
    """Outputs by what the last layer reads."""
    return sigmoid(_linear(head, N_LAYERS - 1, hidden))


def hidden_features(
    objective: str, head: HeadWeights, inputs: Float32[np.ndarray, "row input"]
) -> Float32[np.ndarray, "member row hidden"]:
    """What the last layer of a head reads.

    Raises
    ------
    ValueError
        As ``predict``.
    """
    check_head(objective, head)
    width = head["layers.0.weight"].shape[-1]
    if inputs.shape[1] != width:
        raise ValueError(
            f"inputs of head {objective} must be {width} wide, got shape {inputs.shape}"
        )
    mean, scale = (head.get(name) for name in STANDARD)
    hidden = inputs if mean is None or scale is None else (inputs - mean) / scale
    for layer in range(N_LAYERS - 1):
        hidden = np.maximum(_linear(head, layer, hidden), 0)
    return hidden


def check_head(objective: str, head: HeadWeights) -> None:
    """Check that tensors form the MLP of an objective.

    Raises
    ------
    ValueError
        If a tensor is missing, unknown, of another type, or does not fit its neighbours.
    """
    expected = {f"layers.{i}.{part}" for i in range(N_LAYERS) for part in ("weight", "bias")}
    for optional in (STANDARD, LAPLACE):
        expected |= set(optional) if set(optional) & set(head) else set()
    if set(head) != expected:
        raise ValueError(
            f"head {objective} must hold {', '.join(sorted(expected))}, "
            f"got {', '.join(sorted(head)) or 'nothing'}"
        )
    for name, shape in _shapes(head).items():
        tensor = head[name]
        if tensor.shape != shape or tensor.dtype != np.float32:
            raise ValueError(
                f"{name} of head {objective} must be float32 of shape {shape}, "
                f"got {tensor.dtype} of shape {tensor.shape}"
            )


def _shapes(head: HeadWeights) -> dict[str, tuple[int, ...]]:
    """Shape that each tensor must have to fit the tensors before it."""
    members, width = head["layers.0.weight"].shape[:-2], head["layers.0.weight"].shape[-1]
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(STANDARD, (width,))
    for i in range(N_LAYERS):
        weight, bias = (f"layers.{i}.{part}" for part in ("weight", "bias"))
        n_outputs = head[bias].shape[-1]
        if i == N_LAYERS - 1:
            shapes |= zip(LAPLACE, ((width + 1, width + 1), (1,)), strict=True)
            is_wide = head[weight].shape[-2:] == (MAX_OUTPUTS, width) and n_outputs == MAX_OUTPUTS
            n_outputs = MAX_OUTPUTS if is_wide else 1
        shapes |= {weight: (*members, n_outputs, width), bias: (*members, n_outputs)}
        width = n_outputs
    return {name: shapes[name] for name in head}


def _linear(head: HeadWeights, layer: int, inputs: np.ndarray) -> np.ndarray:
    weight, bias = (head[f"layers.{layer}.{part}"] for part in ("weight", "bias"))
    *_, n_outputs, n_inputs = weight.shape
    by_member = weight.reshape(-1, n_outputs, n_inputs).swapaxes(1, 2)
    return inputs @ by_member + bias.reshape(-1, 1, n_outputs)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """The logistic function."""
    # By tanh, which only saturates: exp overflows, and NumPy warns about it.
    return (np.tanh(logits / 2) + 1) / 2
