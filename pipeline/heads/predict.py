"""Computes inputs of heads from tokens and mask statistics, and predictions of trained heads."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from jaxtyping import Float32, Int

from pipeline.heads.kinds import KINDS_BY_NAME, HeadKind, HeadSet
from pipeline.heads.trees import FEATURE, NODES, check_nodes, predict_trees
from pipeline.proposals import judged_proposals
from pipeline.sam.families import n_encoder_channels
from pipeline.vocabulary import (
    IMAGE_STATISTICS,
    MASK_STATISTICS,
    N_PROPOSALS,
    OBJECT_SCORE,
    PROPOSAL_PAIRS,
    TOKEN_SETS,
    TREES,
)

HeadWeights = Mapping[str, np.ndarray]
"""Tensors of a head by name: ``layers.{0,1,2}.{weight,bias}`` as float32, in the layout of
``torch.nn.Linear``, and the tensors of ``STANDARD`` if inputs are standardised; or ``NODES``."""

STANDARD: Final = ("inputs.mean", "inputs.scale")
"""Names of the tensors with the mean and the standard deviation of every input over train rows."""

N_LAYERS: Final = 3
"""Number of linear layers of a head."""

LAYERS: Final = tuple(
    f"layers.{layer}.{part}" for layer in range(N_LAYERS) for part in ("weight", "bias")
)
"""Names of the tensors of all layers: the weight, then the bias, of each layer."""

OUTPUT_LAYER: Final = LAYERS[-2:]
"""Names of the tensors of the last layer, which heads that share their other layers do not share.
"""

HIDDEN: Final = 512
"""Width of the two hidden layers of the paper's heads."""


def predict(
    heads: Mapping[str, HeadWeights], inputs: Float32[np.ndarray, "row input"]
) -> dict[str, Float32[np.ndarray, " row"]]:
    """Predict a value in [0, 1] for each row of inputs with every head, by objective.

    Parameters
    ----------
    heads
        Weights by objective, which ``check_head`` accepts.
    inputs
        Result of ``set_inputs``.

    Raises
    ------
    ValueError
        If a head expects another number of inputs (a head of another family is the usual cause).

    Notes
    -----
    Linear, ReLU, Linear, ReLU, Linear, sigmoid (Sec. 3.3). In NumPy, so that a stage that only
    predicts starts without importing PyTorch. Layers that heads share are computed once. Trees
    predict as ``predict_trees`` says.
    """
    hidden: dict[tuple[int, ...], np.ndarray] = {}
    outputs: dict[str, Float32[np.ndarray, " row"]] = {}
    for objective, head in heads.items():
        check_width(objective, head, inputs.shape[1])
        if NODES in head:
            outputs[objective] = predict_trees(head[NODES], inputs)
            continue
        shared = tuple(id(head[name]) for name in sorted(head) if name not in OUTPUT_LAYER)
        if shared not in hidden:
            hidden[shared] = _last_hidden(head, inputs)
        outputs[objective] = sigmoid(_linear(head, N_LAYERS - 1, hidden[shared]))[:, 0]
    return outputs


def _last_hidden(
    head: HeadWeights, inputs: Float32[np.ndarray, "row input"]
) -> Float32[np.ndarray, "row hidden"]:
    mean, scale = STANDARD
    hidden = (inputs - head[mean]) / head[scale] if mean in head else inputs
    for layer in range(N_LAYERS - 1):
        hidden = np.maximum(_linear(head, layer, hidden), 0)
    return hidden


def check_width(objective: str, head: HeadWeights, n_inputs: int) -> None:
    """Check that a head takes ``n_inputs`` inputs.

    Raises
    ------
    ValueError
        If the head takes another number of inputs.
    """
    if NODES in head:  # trees know the last input that they read, not how many there are
        width = max(n_inputs, 1 + int(head[NODES][..., FEATURE].max()))
    else:
        width = head["layers.0.weight"].shape[-1]
    if n_inputs != width:
        raise ValueError(f"inputs of head {objective} must be {width} wide, got {n_inputs}")


def check_head(objective: str, head: HeadWeights) -> None:
    """Check that the tensors of a head form an MLP of ``N_LAYERS`` layers and one output, or trees.

    Raises
    ------
    ValueError
        If a tensor is missing, unknown, not float32, or does not fit the layer before it.
    """
    if {*head} == {NODES}:
        check_nodes(objective, head[NODES])
        return
    names = {*LAYERS, *STANDARD} if {*STANDARD} & {*head} else {*LAYERS}
    if {*head} != names:
        raise ValueError(
            f"head {objective} must hold {', '.join(sorted(names))}, "
            f"got {', '.join(sorted(head)) or 'nothing'}"
        )
    for name, tensor in head.items():
        n_dims = 2 if name.endswith(".weight") else 1
        if tensor.ndim != n_dims:
            raise ValueError(
                f"{name} of head {objective} must have {n_dims} dimensions, got {tensor.ndim}"
            )
    shapes = _shapes(head)
    for name, tensor in head.items():
        if tensor.shape != shapes[name] or tensor.dtype != np.float32:
            raise ValueError(
                f"{name} of head {objective} must be float32 of shape {shapes[name]}, "
                f"got {tensor.dtype} of shape {tensor.shape}"
            )


def _shapes(head: HeadWeights) -> dict[str, tuple[int, ...]]:
    """Shapes that the tensors of a head must have to fit the layer before them, by name."""
    width = head[LAYERS[0]].shape[-1]
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(STANDARD, (width,))
    for weight, bias in zip(LAYERS[::2], LAYERS[1::2], strict=True):
        n_outputs = 1 if bias in OUTPUT_LAYER else head[bias].shape[-1]
        shapes |= {weight: (n_outputs, width), bias: (n_outputs,)}
        width = n_outputs
    return shapes


def _linear(head: HeadWeights, layer: int, inputs: np.ndarray) -> np.ndarray:
    return inputs @ head[f"layers.{layer}.weight"].T + head[f"layers.{layer}.bias"]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Logistic function 1 / (1 + exp(-logit)), which turns logits into values in [0, 1]."""
    # Computed by tanh, which saturates; exp would overflow, with a warning from NumPy.
    return (np.tanh(logits / 2) + 1) / 2


Arrays = Mapping[str, np.ndarray]
"""Arrays ``(object, ...)`` of one prompt set by the names in ``INPUT_ARRAYS``; proposals are in
decoder order."""

Judged = Int[np.ndarray, " object"]
"""Number of the judged proposal of each object."""

INPUT_ARRAYS: Final = (
    *("iou_token", "mask_token", "iou", "sam_score", OBJECT_SCORE),
    *MASK_STATISTICS,
    *IMAGE_STATISTICS,
)
"""Names of the arrays of the cache from which inputs of heads are computed. ``iou`` is no input: it
only tells which proposal is the best. Some families have no object score."""

_FIRST, _SECOND = np.array(PROPOSAL_PAIRS).T

_PAIR_INDEX: Final = np.zeros((N_PROPOSALS, N_PROPOSALS), np.int64)
"""Index in ``PROPOSAL_PAIRS`` of two proposals, in either order."""
_PAIR_INDEX[_FIRST, _SECOND] = _PAIR_INDEX[_SECOND, _FIRST] = np.arange(len(PROPOSAL_PAIRS))

N_MASK_STATISTICS: Final = 22
"""Number of inputs that ``figures`` has: statistics of an object's three masks, and the object
score."""

_SCORE_MARGIN: Final = np.float32(1e-3)
"""Least distance of a SamScore from 0 and 1: SamScores are clipped to it before they become
logits."""

_LEAST_AREA: Final = np.float32(1e-4)
"""Area that is added to the area of a mask before its logarithm is taken."""


def set_inputs(
    arrays: Arrays, head_set: HeadSet, *, judged: Judged | None = None
) -> Float32[np.ndarray, "object input"]:
    """Inputs that the heads of a head set read, one row for each object of ``arrays``.

    Zeros replace an ablated input.

    Parameters
    ----------
    judged
        Number of the proposal of each object that the heads judge; by default, the best or the
        selected proposal, as the token set says.

    Returns
    -------
    Inputs side by side, in the order of ``HeadKind.inputs``; not standardised.

    Raises
    ------
    ValueError
        If the head set's tokens are not in ``TOKEN_SETS``.
    """
    tokens, names = head_set.tokens, KINDS_BY_NAME[head_set.kind].inputs
    if tokens not in TOKEN_SETS:
        raise ValueError(f"tokens must be one of {', '.join(TOKEN_SETS)}, got {tokens!r}")
    if judged is None:
        protocol = tokens.partition("_")[0]
        judged = judged_proposals(protocol, iou=arrays["iou"], sam_score=arrays["sam_score"])
    return np.concatenate([INPUTS[name](arrays, tokens, judged) for name in names], axis=1)


def inputs_of_proposals(arrays: Arrays, head_set: HeadSet) -> Float32[np.ndarray, "row input"]:
    """Inputs of a head set for every proposal, as if it were the proposal that the heads judge.

    Returns
    -------
    Three consecutive rows for each object, in decoder order.

    Raises
    ------
    ValueError
        As ``set_inputs``.
    """
    proposals = np.tile(np.arange(N_PROPOSALS), len(arrays["sam_score"]))
    repeated = {name: np.repeat(values, N_PROPOSALS, axis=0) for name, values in arrays.items()}
    return set_inputs(repeated, head_set, judged=proposals)


def _token_inputs(
    arrays: Arrays, tokens: str, judged: Judged
) -> Float32[np.ndarray, "object input"]:
    """The IoU token and the mask token of the judged proposal.

    Notes
    -----
    ``l`` of the paper. Proposal k belongs to mask token k + 1; the authors' code takes mask token
    k.
    """
    ablation = tokens.partition("_")[2]
    iou_token = arrays["iou_token"]
    mask_token = arrays["mask_token"][np.arange(len(judged)), judged + 1]
    if ablation in {"no_iou", "no_tokens", TREES}:
        iou_token = np.zeros_like(iou_token)
    if ablation in {"no_mask", "no_tokens", TREES}:
        mask_token = np.zeros_like(mask_token)
    return np.concatenate([iou_token, mask_token], axis=1)


def _mask_statistics(
    arrays: Arrays, tokens: str, judged: Judged
) -> Float32[np.ndarray, "object input"]:
    """The inputs ``figures``: statistics of the three proposals, the judged proposal first.

    Notes
    -----
    In this order, each for three proposals: SamScore, its logit, area, its logarithm, entropy,
    confidence. Then the agreement of the first with the second proposal, of the first with the
    third, of the second with the third. The last input is the object score, if there is one.
    """
    if tokens.endswith("_no_statistics"):
        n_statistics = N_MASK_STATISTICS - (OBJECT_SCORE not in arrays)
        return np.zeros((len(judged), n_statistics), np.float32)
    order = judged_first(arrays["sam_score"], judged)
    rows = np.arange(len(order))[:, np.newaxis]  # `take_along_axis` would take five times as long
    score, area, entropy, confidence = (
        arrays[name][rows, order] for name in ("sam_score", "area", "mask_entropy", "confidence")
    )
    clipped = np.clip(score, _SCORE_MARGIN, 1 - _SCORE_MARGIN)
    columns = [
        score,
        np.log(clipped / (1 - clipped)),
        area,
        np.log(area + _LEAST_AREA),
        entropy,
        confidence,
        arrays["agreement"][rows, _PAIR_INDEX[order[:, _FIRST], order[:, _SECOND]]],
    ]
    if OBJECT_SCORE in arrays:
        columns.append(arrays[OBJECT_SCORE][:, np.newaxis])
    return np.concatenate(columns, axis=1)


def judged_first(
    sam_score: Float32[np.ndarray, "object proposal"], judged: Judged
) -> Int[np.ndarray, "object proposal"]:
    """Order of each object's proposals: the judged one, then the others, highest SamScore first."""
    rank = np.where(np.arange(N_PROPOSALS) == judged[:, np.newaxis], np.inf, sam_score)
    return np.argsort(-rank, axis=1, kind="stable")


def _image_statistics(
    arrays: Arrays,
    tokens: str,  # noqa: ARG001 - as other inputs take it
    judged: Judged,  # noqa: ARG001 - likewise
) -> Float32[np.ndarray, "object input"]:
    """The input ``image``: mean and deviation of each channel of the encoder, over the image."""
    return np.concatenate([arrays[name] for name in IMAGE_STATISTICS], axis=1)


INPUTS: Final[Mapping[str, Callable[[Arrays, str, Judged], np.ndarray]]] = {
    "tokens": _token_inputs,
    "figures": _mask_statistics,
    "image": _image_statistics,
}
"""Functions that compute inputs, by the names in ``HeadKind.inputs`` and in cards of head files."""


def n_inputs(kind: HeadKind, n_channels: int, *, has_object_score: bool = True) -> int:
    """Number of inputs of a head of a kind, if a token has ``n_channels`` channels.

    ``has_object_score`` says whether the model predicts object scores.
    """
    n_statistics = N_MASK_STATISTICS - (not has_object_score)
    widths = {
        "tokens": 2 * n_channels,
        "figures": n_statistics,
        "image": len(IMAGE_STATISTICS) * n_encoder_channels(n_channels),
    }
    return sum(widths[name] for name in kind.inputs)
