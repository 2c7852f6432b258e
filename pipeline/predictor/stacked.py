"""All heads of a set as one network: nine small ones take as long as half a click."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from pipeline.heads.predict import N_LAYERS, STANDARD, HeadWeights, check_head, sigmoid

Layer = tuple[Float32[np.ndarray, "head _ _"], Float32[np.ndarray, "head 1 _"]]
"""Weights (head, input, output) and biases of a layer of every head."""


@dataclass(frozen=True)
class StackedHeads:
    """The layers of several heads side by side."""

    objectives: tuple[str, ...]
    layers: tuple[Layer, ...]
    standard: tuple[Float32[np.ndarray, "head 1 _"], ...]
    """Mean and standard deviation of every input in training; nothing if they enter as they are."""

    def predict(
        self, inputs: Float32[np.ndarray, "row input"]
    ) -> dict[str, Float32[np.ndarray, " row"]]:
        """What ``pipeline.heads.predict.predict`` returns for these heads."""
        width = self.layers[0][0].shape[1]
        if inputs.shape[1] != width:
            raise ValueError(
                f"inputs of head {self.objectives[0]} must be {width} wide, "
                f"got shape {inputs.shape}"
            )
        hidden = inputs
        if self.standard:
            mean, scale = self.standard
            hidden = (inputs - mean) / scale
        for weight, bias in self.layers[:-1]:
            hidden = np.maximum(hidden @ weight + bias, 0)
        weight, bias = self.layers[-1]
        found = sigmoid(hidden @ weight + bias)[..., 0]
        return dict(zip(self.objectives, found, strict=True))


def stack_heads(heads: Mapping[str, HeadWeights]) -> StackedHeads:
    """Stack heads of one shape.

    Raises
    ------
    ValueError
        If the tensors of a head form no MLP, or heads differ in their shapes.
    """
    for objective, head in heads.items():
        check_head(objective, head)
    first = next(iter(heads))
    shapes = [{name: head[name].shape for name in sorted(head)} for head in heads.values()]
    for objective, own in zip(heads, shapes, strict=True):
        if own != shapes[0]:
            raise ValueError(
                f"head {objective} must be of the shape of head {first}, {shapes[0]}, got {own}"
            )

    def stacked(name: str) -> np.ndarray:
        return np.stack([np.atleast_2d(head[name]) for head in heads.values()])

    layers = [
        # In the order of a product with few rows: the transpose takes seven times as long.
        (
            np.ascontiguousarray(stacked(f"layers.{i}.weight").swapaxes(1, 2)),
            stacked(f"layers.{i}.bias"),
        )
        for i in range(N_LAYERS)
    ]
    standard = tuple(stacked(name) for name in STANDARD) if STANDARD[0] in shapes[0] else ()
    return StackedHeads(tuple(heads), tuple(layers), standard)
