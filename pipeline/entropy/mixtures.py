"""Entropies of soft masks: of one, and of mixtures over models, prompts, proposals and views."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from pipeline.entropies import ENTROPIES, CellMasks, Entropy
from pipeline.entropy.cell_rows import CellRows
from pipeline.entropy.kernels import add_mixtures, weighted_entropies
from pipeline.masks import DECODE_TABLE, check_probabilities
from pipeline.vocabulary import JUDGED, N_PROPOSALS, SINGLE_CLICKS

ObjectEntropies = Mapping[str, Float64[np.ndarray, "..."]]
"""Entropies of some objects in bits, by name, with the ``dims`` that ``ENTROPIES`` declares."""

Mixture = Float64[np.ndarray, "object mixture pixel"]

Keep = Callable[[CellRows, Mapping[str, CellMasks], str, str], None]

MIXTURES: Final[tuple[tuple[Entropy, str], ...]] = tuple(
    (entropy, judged)
    for entropy in ENTROPIES
    for judged in (JUDGED if entropy.follows_judged else JUDGED[:1])
)
"""Every mean of masks: its entropy, and the judged proposal where the entropy follows that."""

_SHARED: Final = [k for k, (entropy, _) in enumerate(MIXTURES) if entropy.is_shared]
_BY_MODEL: Final = [k for k, (entropy, _) in enumerate(MIXTURES) if not entropy.is_shared]
_PROBABILITY: Final = DECODE_TABLE.astype(np.float64)
_N_CLICKS: Final = len(SINGLE_CLICKS)
_ONE_OF_ALL: Final = np.eye(N_PROPOSALS)


def mask_entropy(p: Float[np.ndarray, "*batch height width"]) -> Float64[np.ndarray, "*batch"]:
    """Foreground-weighted mean pixel entropy of a mask, in bits.

    >>> mask_entropy(np.array([[[0.5, 0.0]], [[1.0, 0.0]]]))
    array([1., 0.])

    Returns
    -------
    In [0, 1]; 0 for an all-background map, its limit.

    Raises
    ------
    ValueError
        If a probability lies outside [0, 1] or is NaN (logits are the usual cause).

    Notes
    -----
    Eq. 3. Not clipped to [1e-6, 1 - 1e-6] as the authors' code does: the false mass that this
    adds to every background pixel lowers the entropy of small objects.
    """
    check_probabilities(p)
    # Numba knows no float16.
    rows = p.astype(np.float64 if p.dtype == np.float64 else np.float32, copy=False)
    *batch, height, width = p.shape
    bits = np.empty(math.prod(batch))
    weighted_entropies(np.ascontiguousarray(rows).reshape(bits.size, height * width), bits)
    return bits.reshape(batch)


def object_entropies(
    read_cell: Callable[[str, str], CellRows],
    *,
    models: Sequence[str],
    views: Sequence[str],
    keep: Keep = lambda *_: None,
) -> ObjectEntropies:
    """Bayesian entropies of some objects, from all of their cells.

    Parameters
    ----------
    read_cell
        Returns the rows of the same objects for a model and a view. Called once per cell; its
        result is not used after the next call, so it may reuse one buffer.
    models
        Θ, or a subset.
    views
        T, or a subset that includes ``identity``.
    keep
        Called with each cell while its masks are in memory: its rows, which of its masks count,
        model and view.

    Raises
    ------
    ValueError
        If there is no model or no identity view, a name is given twice, or cells differ in shape.

    Notes
    -----
    Eq. 4 to 7, each the entropy (Eq. 3) of a mean of masks, and H_T, which is not in the paper.
    """
    _check_names(models, views)
    mixture: Mixture | None = None
    by_model = []
    for model in models:
        for view in views:
            rows = read_cell(model, view)
            chosen = cell_masks(
                rows.sam_score,
                rows.iou,
                is_identity=view == "identity",
                n_models=len(models),
                n_views=len(views),
            )
            weight = mixture_weights(chosen, rows.iou.shape[1])
            mixture = _add(rows.mask_code, weight, mixture)
            keep(rows, chosen, model, view)
        assert mixture is not None  # there is a view
        by_model.append(_entropies(mixture, _BY_MODEL))
        mixture[:, _BY_MODEL] = 0
    assert mixture is not None  # there is a model
    shared = zip(_SHARED, _entropies(mixture, _SHARED).T, strict=True)
    own = zip(_BY_MODEL, np.stack(by_model, axis=-1).swapaxes(0, 1), strict=True)
    return _by_entropy(dict((*shared, *own)))


def mixture_weights(
    chosen: Mapping[str, CellMasks], n_prompts: int
) -> Float64[np.ndarray, "object mixture prompt proposal"]:
    """Share of each mask of a cell in each of ``MIXTURES``; ``refined`` has no share.

    Parameters
    ----------
    chosen
        As ``cell_masks`` gives them.
    """
    n_objects = len(chosen[JUDGED[0]].is_judged)
    weight = np.zeros((n_objects, len(MIXTURES), n_prompts, N_PROPOSALS))
    for k, (entropy, judged) in enumerate(MIXTURES):
        weight[:, k, :_N_CLICKS] = entropy.shares(chosen[judged])
    return weight


def cell_masks(
    sam_score: Float32[np.ndarray, "object prompt proposal"],
    iou: Float32[np.ndarray, "object prompt proposal"],
    *,
    is_identity: bool,
    n_models: int,
    n_views: int,
) -> dict[str, CellMasks]:
    """Masks of a cell as mixtures weigh them, for each judged proposal.

    Notes
    -----
    The judged proposal is chosen for each prediction; ties go to the first.
    """
    chosen_by = {"best": iou, "selected": sam_score}
    shares = task_probability(sam_score[:, :_N_CLICKS])
    return {
        judged: CellMasks(
            task_probability=shares,
            is_judged=_ONE_OF_ALL[chosen_by[judged][:, :_N_CLICKS].argmax(axis=-1)],
            is_identity=is_identity,
            n_models=n_models,
            n_views=n_views,
        )
        for judged in JUDGED
    }


def task_probability(
    sam_score: Float32[np.ndarray, "*batch proposal"],
) -> Float64[np.ndarray, "*batch proposal"]:
    """Probability that each proposal is what was meant; uniform where all scores are 0.

    Notes
    -----
    Eq. 10.
    """
    score = sam_score.astype(np.float64)
    total = score.sum(axis=-1, keepdims=True)
    probability = np.full_like(score, 1 / score.shape[-1])
    np.divide(score, total, out=probability, where=total > 0)
    return probability


def _check_names(models: Sequence[str], views: Sequence[str]) -> None:
    for thing, names in (("models", models), ("views", views)):
        if not names or len(set(names)) != len(names):
            raise ValueError(f"{thing} must be distinct names, at least one, got {list(names)}")
    if "identity" not in views:
        raise ValueError(f"views must have identity, got {list(views)}")


def _add(
    mask_code: UInt8[np.ndarray, "object prompt proposal y x"],
    weight: Float64[np.ndarray, "object mixture prompt proposal"],
    mixture: Mixture | None,
) -> Mixture:
    n_objects, n_prompts, n_proposals, height, width = mask_code.shape
    if mixture is None:
        mixture = np.zeros((n_objects, len(MIXTURES), height * width))
    if mixture.shape[::2] != (n_objects, height * width):
        raise ValueError(
            f"cells must have the objects and mask size of the first, {mixture.shape[0]} and "
            f"{mixture.shape[2]} px, got {n_objects} and {height} x {width} px"
        )
    n_masks = n_prompts * n_proposals
    add_mixtures(
        np.ascontiguousarray(mask_code).reshape(n_objects, n_masks, height * width),
        weight.reshape(n_objects, len(MIXTURES), n_masks),
        _PROBABILITY,
        mixture,
    )
    return mixture


def _by_entropy(bits: Mapping[int, Float64[np.ndarray, "..."]]) -> ObjectEntropies:
    """Gather the results of ``MIXTURES`` by entropy, each in its own dimensions."""
    found: dict[str, list[Float64[np.ndarray, "..."]]] = {}
    for k, (entropy, _) in enumerate(MIXTURES):
        found.setdefault(entropy.name, []).append(bits[k])
    return {
        entropy.name: np.stack(found[entropy.name], axis=1)
        if entropy.follows_judged
        else found[entropy.name][0]
        for entropy in ENTROPIES
    }


def _entropies(mixture: Mixture, places: list[int]) -> Float64[np.ndarray, "object place"]:
    bits = np.empty((len(mixture), len(places)))
    for p, row in zip(mixture, bits, strict=True):
        weighted_entropies(p[places], row)
    return bits
