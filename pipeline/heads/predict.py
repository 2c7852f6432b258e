"""Trained heads: what they read of a prediction, tokens and figures of the masks, and their own."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from jaxtyping import Float32, Int

from pipeline.heads.kinds import KINDS_BY_NAME, HeadKind, HeadSet
from pipeline.proposals import judged_proposals
from pipeline.vocabulary import MASK_STATISTICS, N_PROPOSALS, PROPOSAL_PAIRS, TOKEN_SETS

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
        Weights by objective, as ``check_head`` wants them.
    inputs
        As ``set_inputs`` returns them.

    Raises
    ------
    ValueError
        If a head expects inputs of another width (a head of another family is the usual cause).

    Notes
    -----
    Linear, ReLU, Linear, ReLU, Linear, sigmoid (Sec. 3.3). NumPy suffices: a stage that only
    predicts starts without PyTorch.
    """
    return {objective: _outputs(objective, head, inputs) for objective, head in heads.items()}


def _outputs(
    objective: str, head: HeadWeights, inputs: Float32[np.ndarray, "row input"]
) -> Float32[np.ndarray, " row"]:
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


Arrays = Mapping[str, np.ndarray]
"""Arrays of ``READ`` for one prompt set, ``(object, ...)``, in decoder order."""

Judged = Int[np.ndarray, " object"]
"""A proposal of each object."""

READ: Final = ("iou_token", "mask_token", "iou", "sam_score", "object_score", *MASK_STATISTICS)
"""Arrays of the cache that heads of any kind read; ``iou`` only to find the best proposal."""

_PLACES: Final = {pair: place for place, pair in enumerate(PROPOSAL_PAIRS)}

N_FIGURES: Final = 22
"""Numbers that the figures of an object's masks make."""

_EDGE: Final = np.float32(1e-3)
"""SamScores enter as logits, too, of values this far from 0 and 1."""

_LEAST_AREA: Final = np.float32(1e-4)
"""Is added to an area before its logarithm is taken."""


def set_inputs(
    arrays: Arrays, head_set: HeadSet, *, judged: Judged | None = None
) -> Float32[np.ndarray, "object input"]:
    """What the heads of a set read of some objects, under one prompt set.

    Parameters
    ----------
    judged
        The proposal of each object that counts as the judged one; None takes that of the token set.

    Raises
    ------
    ValueError
        If there is no such token set.
    """
    tokens, parts = head_set.tokens, KINDS_BY_NAME[head_set.kind].inputs
    if tokens not in TOKEN_SETS:
        raise ValueError(f"tokens must be one of {', '.join(TOKEN_SETS)}, got {tokens!r}")
    of_set = tokens.partition("_")[0]
    own = judged_proposals(of_set, iou=arrays["iou"], sam_score=arrays["sam_score"])
    chosen = own if judged is None else judged
    return np.concatenate([PARTS[part](arrays, tokens, chosen) for part in parts], axis=1)


def every_input(arrays: Arrays, head_set: HeadSet) -> Float32[np.ndarray, "row input"]:
    """What they read of every proposal, as if that were the judged one: rows of an object together.

    Raises
    ------
    ValueError
        As ``set_inputs``.
    """
    every = np.tile(np.arange(N_PROPOSALS), len(arrays["sam_score"]))
    repeated = {name: np.repeat(values, N_PROPOSALS, axis=0) for name, values in arrays.items()}
    return set_inputs(repeated, head_set, judged=every)


def _token_inputs(
    arrays: Arrays, tokens: str, judged: Judged
) -> Float32[np.ndarray, "object input"]:
    """The IoU token and the mask token of the judged proposal, zeros for one that heads lack.

    Notes
    -----
    ``l`` of the paper. Proposal k belongs to mask token k + 1; the authors' code pairs it with k.
    """
    lack = tokens.partition("_")[2]
    mask_token = arrays["mask_token"][np.arange(len(judged)), judged + 1]
    parts = {"iou": arrays["iou_token"], "mask": mask_token}
    read = [np.zeros_like(part) if lack == f"no_{name}" else part for name, part in parts.items()]
    return np.concatenate(read, axis=1)


def _figure_inputs(arrays: Arrays, _: str, judged: Judged) -> Float32[np.ndarray, "object input"]:
    """Figures of the three proposals, the judged one first: ``N_FIGURES`` numbers.

    Notes
    -----
    SamScores and their logits, areas and their logarithms, entropies, confidences, the agreement
    of the first with the second, the first with the third, and these two, and the object score.
    """
    order = judged_first(arrays["sam_score"], judged)
    rows = np.arange(len(order))[:, np.newaxis]  # `take_along_axis` takes five times as long
    score, area, entropy, confidence = (
        arrays[name][rows, order] for name in ("sam_score", "area", "mask_entropy", "confidence")
    )
    inside = np.clip(score, _EDGE, 1 - _EDGE)
    columns = [
        score,
        np.log(inside / (1 - inside)),
        area,
        np.log(area + _LEAST_AREA),
        entropy,
        confidence,
        arrays["agreement"][rows, _pairs(order)],
        arrays["object_score"][:, np.newaxis],
    ]
    return np.concatenate(columns, axis=1)


def judged_first(
    sam_score: Float32[np.ndarray, "object proposal"], judged: Judged
) -> Int[np.ndarray, "object proposal"]:
    """Proposals of each object: the judged one, then the others by their SamScores."""
    rank = np.where(np.arange(N_PROPOSALS) == judged[:, np.newaxis], np.inf, sam_score)
    return np.argsort(-rank, axis=1, kind="stable")


def _pairs(order: Int[np.ndarray, "object proposal"]) -> Int[np.ndarray, "object pair"]:
    """Where the pairs of reordered proposals stand among those in decoder order."""
    places = np.empty((N_PROPOSALS, N_PROPOSALS), np.int64)
    for (first, second), place in _PLACES.items():
        places[first, second] = places[second, first] = place
    return np.stack([places[order[:, i], order[:, j]] for i, j in PROPOSAL_PAIRS], axis=1)


PARTS: Final[Mapping[str, Callable[[Arrays, str, Judged], np.ndarray]]] = {
    "tokens": _token_inputs,
    "figures": _figure_inputs,
}
"""What a kind of heads may read, by name."""


def n_inputs(kind: HeadKind, n_channels: int) -> int:
    """Width of what heads of a kind read, from tokens of a width."""
    widths = {"tokens": 2 * n_channels, "figures": N_FIGURES}
    return sum(widths[part] for part in kind.inputs)
