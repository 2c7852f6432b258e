"""Heads in training: an MLP, its gradients, and the standardisation of its inputs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from pipeline.heads.kinds import KINDS_BY_NAME, HeadSet
from pipeline.heads.predict import HIDDEN, N_LAYERS, OUTPUT_LAYER, STANDARD, HeadWeights
from pipeline.seeds import derive_seed

BLOCK_ROWS: Final = 1024
"""Number of rows that are converted to double precision at once, which bounds the memory."""

_LEAST_SPREAD: Final = 1e-6
"""Relative standard deviation up to which an input counts as constant. Its deviation is then a
rounding error, and a division by it would give huge values."""


@dataclass(frozen=True)
class Network:
    """Weights and biases of heads that are trained together, and their gradients.

    Each head has an output; the heads share all other layers.

    The tensors are allocated once and written in place: new tensors of this size would cost a page
    fault for every 4 KB.
    """

    weights: tuple[Float[Tensor, "_ _"], ...]
    biases: tuple[Float[Tensor, "1 _"], ...]
    weight_gradients: tuple[Float[Tensor, "_ _"], ...]
    bias_gradients: tuple[Float[Tensor, "1 _"], ...]

    def tensors(self) -> list[HeadWeights]:
        """Copy the weights of each head, in the order of outputs and the layout of ``nn.Linear``.

        The heads hold the same arrays for the layers that they share.
        """
        tensors = {}
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            tensors[f"layers.{i}.weight"] = weight.mT.numpy().copy(order="C")
            tensors[f"layers.{i}.bias"] = bias[0].numpy().copy()
        outputs = [(name, tensors.pop(name)) for name in OUTPUT_LAYER]
        return [
            {**tensors, **{name: tensor[row : row + 1] for name, tensor in outputs}}
            for row in range(len(outputs[0][1]))
        ]


def initial_network(
    objectives: Sequence[str], n_inputs: int, seed: int, *, hidden: int = HIDDEN
) -> Network:
    """Draw initial weights of heads that share layers, as ``torch.nn.Linear`` does.

    The seed and the names of the objectives fix the weights. The gradients are 0.

    Parameters
    ----------
    objectives
        Objectives of the heads, one for each output.
    hidden
        Width of the hidden layers.
    """
    widths = [n_inputs, *[hidden] * (N_LAYERS - 1), len(objectives)]
    # Heads learn on the CPU, also where the default device of torch is another.
    weights = tuple(torch.empty(*shape, device="cpu") for shape in pairwise(widths))
    biases = tuple(torch.empty(1, width, device="cpu") for width in widths[1:])
    generator = torch.Generator().manual_seed(derive_seed(seed, *objectives))
    for weight, bias in zip(weights, biases, strict=True):
        bound = len(weight) ** -0.5
        weight.uniform_(-bound, bound, generator=generator)
        bias.uniform_(-bound, bound, generator=generator)
    gradients = (tuple(map(torch.zeros_like, tensors)) for tensors in (weights, biases))
    return Network(weights, biases, *gradients)


def merged(networks: Sequence[Network]) -> Network:
    """Merge networks of the same inputs and outputs into one, whose logits are their mean logits.

    The hidden layers of the networks lie side by side, without weights between them. The merged
    network has no gradients: it is not trained.
    """
    first, *inner, last = zip(*(network.weights for network in networks), strict=True)
    *hidden_biases, output_biases = zip(*(network.biases for network in networks), strict=True)
    side_by_side = (torch.block_diag(*weights) for weights in inner)  # type: ignore[no-untyped-call]
    return Network(
        weights=(torch.cat(first, dim=1), *side_by_side, torch.cat(last) / len(networks)),
        biases=(
            *(torch.cat(biases, dim=1) for biases in hidden_biases),
            torch.stack(output_biases).mean(dim=0),
        ),
        weight_gradients=(),
        bias_gradients=(),
    )


def initial_heads(
    head_set: HeadSet, models: Sequence[str], n_inputs: int, seed: int
) -> dict[str, HeadWeights]:
    """Draw untrained heads of a head set, by objective.

    They have the size of trained heads: hidden layers are as wide as those of all merged networks.
    Heads of a standardised kind have a mean and a standard deviation of 1 for every input.
    """
    kind, objectives = KINDS_BY_NAME[head_set.kind], head_set.objectives(models)
    together = [objectives] if kind.shares_layers else [(name,) for name in objectives]
    standard = dict.fromkeys(STANDARD, np.ones(n_inputs, np.float32))
    return {
        name: {**weights, **standard} if kind.is_standardised else weights
        for names in together
        for name, weights in zip(
            names,
            initial_network(names, n_inputs, seed, hidden=kind.n_members * kind.hidden).tensors(),
            strict=True,
        )
    }


def fill_gradients(
    network: Network, inputs: Float[Tensor, "row input"], targets: Float[Tensor, "row output"]
) -> Float[Tensor, " output"]:
    """Write the gradients of the mean squared error into the network, and return squared errors.

    The mean is over all rows and outputs. The squared errors that are returned are summed over the
    rows, for each output.

    Notes
    -----
    Gradients are derived by hand: autograd takes 1.3 to 1.7 times as long for a batch, because it
    allocates memory for every gradient. Gradients of autograd differ from these in the last bits.
    """
    layers = _forward(network, inputs)
    output = layers.pop()
    error = output - targets
    delta = error * output * (1 - output) * 2 * (1 / error.numel())
    for i in reversed(range(N_LAYERS)):
        torch.mm(layers[i].mT, delta, out=network.weight_gradients[i])
        torch.sum(delta, 0, keepdim=True, out=network.bias_gradients[i])
        if i:
            delta = torch.mm(delta, network.weights[i].mT)
            delta = torch.ops.aten.threshold_backward(delta, layers[i], 0)
    return error.square().sum(0)


def outputs(network: Network, inputs: Float[Tensor, "row input"]) -> Float[Tensor, "row output"]:
    """Predict values in [0, 1] for each row of inputs, with heads in training."""
    return _forward(network, inputs)[-1]


def _forward(network: Network, inputs: Float[Tensor, "row input"]) -> list[Tensor]:
    """Return the inputs, the hidden layers and the outputs, in this order: (row, width) each."""
    layers = [inputs]
    for weight, bias in zip(network.weights, network.biases, strict=True):
        layers.append(_affine(bias, layers[-1], weight))
        if len(layers) <= N_LAYERS:
            layers[-1].relu_()
    layers[-1].sigmoid_()
    return layers


def _affine(
    bias: Float[Tensor, "1 output"],
    inputs: Float[Tensor, "row input"],
    weight: Float[Tensor, "input output"],
) -> Float[Tensor, "row output"]:
    if weight.shape[1] == 1:
        # PyTorch multiplies by a single column with gemv, which adds in another order than gemm:
        # the last bits of heads would change.
        twice = (tensor.expand(2, -1, -1) for tensor in (bias, inputs, weight))
        return torch.baddbmm(*twice)[0]
    return torch.addmm(bias, inputs, weight)


def standardisation(
    inputs: Float32[np.ndarray, "row input"], rows: Int[np.ndarray, " train"]
) -> dict[str, np.ndarray]:
    """Mean and standard deviation of every input over some rows, by the names in ``STANDARD``.

    The deviation of a constant input is set to 1, so that the standardised input is 0.
    """
    mean = _sum(_blocks(inputs, rows)) / len(rows)
    square = _sum(_squares(_blocks(inputs, rows), mean)) / len(rows)
    deviation = np.sqrt(square)
    is_constant = deviation <= _LEAST_SPREAD * np.maximum(1, np.abs(mean))
    values = mean, np.where(is_constant, 1, deviation)
    return {name: value.astype(np.float32) for name, value in zip(STANDARD, values, strict=True)}


def _sum(blocks: Iterator[np.ndarray]) -> Float[np.ndarray, " input"]:
    """Sum of the rows of all blocks; its bits do not depend on the size of the blocks.

    Overwrites the first row of each block.
    """
    total: Float[np.ndarray, " input"] = next(blocks).sum(axis=0)
    for block in blocks:
        block[0] += total
        total = block.sum(axis=0)
    return total


def _squares(blocks: Iterator[np.ndarray], mean: np.ndarray) -> Iterator[np.ndarray]:
    for block in blocks:
        np.subtract(block, mean, out=block)
        yield np.square(block, out=block)


def _blocks(inputs: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), BLOCK_ROWS):
        yield inputs[rows[start : start + BLOCK_ROWS]].astype(np.float64)
