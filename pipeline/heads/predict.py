"""Trained heads: what they predict of a model's masks."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Float32

HeadWeights = Mapping[str, np.ndarray]
"""``layers.{0,1,2}.{weight,bias}`` as float32, in the layout of ``torch.nn.Linear``; where inputs
are standardised, ``STANDARD``, too."""

STANDARD: Final = ("inputs.mean", "inputs.scale")
"""Mean and standard deviation of every input in training."""

N_LAYERS: Final = 3
"""Linear layers of a head."""

HIDDEN: Final = 512
"""Width of the two hidden layers of the paper's heads."""


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
    Linear, ReLU, Linear, ReLU, Linear, sigmoid (Sec. 3.3). NumPy suffices: a stage that only
    predicts starts without PyTorch.
    """
    return {objective: _outputs(objective, head, inputs) for objective, head in heads.items()}


def _outputs(
    objective: str, head: HeadWeights, inputs: Float32[np.ndarray, "row input"]
) -> Float32[np.ndarray, " row"]:
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
    outputs: Float32[np.ndarray, " row"] = sigmoid(_linear(head, N_LAYERS - 1, hidden))[:, 0]
    return outputs


def check_head(objective: str, head: HeadWeights) -> None:
    """Check that tensors form the MLP of an objective.

    Raises
    ------
    ValueError
        If a tensor is missing, unknown, of another type, or does not fit its neighbours.
    """
    expected = {f"layers.{i}.{part}" for i in range(N_LAYERS) for part in ("weight", "bias")}
    expected |= set(STANDARD) if set(STANDARD) & set(head) else set()
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
    width = head["layers.0.weight"].shape[-1]
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(STANDARD, (width,))
    for i in range(N_LAYERS):
        weight, bias = (f"layers.{i}.{part}" for part in ("weight", "bias"))
        n_outputs = head[bias].shape[-1] if i < N_LAYERS - 1 else 1
        shapes |= {weight: (n_outputs, width), bias: (n_outputs,)}
        width = n_outputs
    return {name: shapes[name] for name in head}


def _linear(head: HeadWeights, layer: int, inputs: np.ndarray) -> np.ndarray:
    return inputs @ head[f"layers.{layer}.weight"].T + head[f"layers.{layer}.bias"]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """The logistic function."""
    # By tanh, which only saturates: exp overflows, and NumPy warns about it.
    return (np.tanh(logits / 2) + 1) / 2
