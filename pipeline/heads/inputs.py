"""What heads read of a prediction: tokens, and figures of the masks."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from jaxtyping import Float32, Int

from pipeline.heads.kinds import KINDS_BY_NAME, HeadKind, HeadSet
from pipeline.vocabulary import MASK_FIGURES, N_PROPOSALS, PROPOSAL_PAIRS, TOKEN_SETS

Arrays = Mapping[str, np.ndarray]
"""Arrays of ``READ`` for one prompt set, ``(object, ...)``, in decoder order."""

Judged = Int[np.ndarray, " object"]
"""A proposal of each object."""

READ: Final = ("iou_token", "mask_token", "iou", "sam_score", "object_score", *MASK_FIGURES)
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
    own = judged_proposals(tokens, iou=arrays["iou"], sam_score=arrays["sam_score"])
    chosen = own if judged is None else judged
    return np.concatenate([PARTS[part](arrays, tokens, chosen) for part in parts], axis=1)


def judged_proposals(
    tokens: str,
    *,
    iou: Float32[np.ndarray, "object proposal"],
    sam_score: Float32[np.ndarray, "object proposal"],
) -> Judged:
    """The best or the selected proposal of each object, as a token set says; ties go to the first.

    Raises
    ------
    ValueError
        If there is no such token set.
    """
    if tokens not in TOKEN_SETS:
        raise ValueError(f"tokens must be one of {', '.join(TOKEN_SETS)}, got {tokens!r}")
    judged: Judged = {"best": iou, "selected": sam_score}[tokens.partition("_")[0]].argmax(axis=1)
    return judged


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
