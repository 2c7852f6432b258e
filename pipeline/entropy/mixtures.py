"""Entropies of soft masks; entropies and IoUs of mean masks over models, prompts and views."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float64, UInt8

from pipeline.entropy.kernels import (
    add_mixtures,
    count_foreground,
    take_entropies,
    weighted_entropies,
)
from pipeline.entropy.mixture_plan import MIXTURES, PlannedCell
from pipeline.mask_statistics import MaskStatistic
from pipeline.masks import DECODE_TABLE, check_probabilities

ObjectArrays = Mapping[str, Float64[np.ndarray, "..."]]
"""Arrays of some objects by name; ``ENTROPIES`` and ``AGREEMENTS`` declare the ``dims`` of most."""

Mixture = Float64[np.ndarray, "object mixture pixel"]

MaskCode = UInt8[np.ndarray, "object prompt proposal y x"]

OnCell = Callable[[PlannedCell, MaskCode], None]
"""Receives each cell and its masks, which are valid only during the call."""

_SHARED: Final = [k for k, (entropy, _) in enumerate(MIXTURES) if entropy.is_shared]
_BY_MODEL: Final = [k for k, (entropy, _) in enumerate(MIXTURES) if not entropy.is_shared]
_PROBABILITY: Final = DECODE_TABLE.astype(np.float64)


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
    Eq. 3. Not clipped to [1e-6, 1 - 1e-6] as the authors' code does: the false mass that this adds
    to every background pixel lowers the entropy of small objects.
    """
    check_probabilities(p)
    # Numba has no float16.
    rows = p.astype(np.float64 if p.dtype == np.float64 else np.float32, copy=False)
    *batch, height, width = p.shape
    bits = np.empty(math.prod(batch))
    weighted_entropies(np.ascontiguousarray(rows).reshape(bits.size, height * width), bits)
    return bits.reshape(batch)


def mixture_arrays(
    cells: Sequence[PlannedCell],
    block: slice,
    truth: Bool[np.ndarray, "object y x"],
    on_cell: OnCell = lambda *_: None,
) -> ObjectArrays:
    """Bayesian entropies of a block of objects, and IoUs of the mean masks behind them.

    Raises a ValueError if cells differ in their number of objects or their mask size.

    Parameters
    ----------
    cells
        Result of ``plan_cells``. The masks of a cell are used before the masks of the next cell are
        read, so that all cells can share a buffer.
    block
        The objects, as rows of the cells.
    truth
        Ground truths of the objects in ``block``, at the size of the masks.
    on_cell
        Called with each cell and its masks while these are in memory.

    Returns
    -------
    For each row of ``ENTROPIES``, the entropy by its ``name`` and the IoU by its ``iou_name``.

    Notes
    -----
    Each entropy is that (Eq. 3) of a mean of masks. The same mean, cut at 0.5, is a mask of its
    own, which may be better than each of the masks that it averages.
    """
    mixture: Mixture | None = None
    pixels = truth.reshape(len(truth), -1)
    by_model = []
    for _, of_model in groupby(cells, key=lambda cell: cell.model):
        for cell in of_model:
            mask_code = cell.rows.mask_code[block]
            mixture = _add(mask_code, cell.weight[block], mixture)
            on_cell(cell, mask_code)
        assert mixture is not None  # a model has a cell
        by_model.append(_take(mixture, pixels, _BY_MODEL))
    assert mixture is not None  # there is a model
    shared = zip(_SHARED, _take(mixture, pixels, _SHARED), strict=True)
    of_models = zip(_BY_MODEL, np.stack(by_model, axis=-1), strict=True)
    return _by_name(dict((*shared, *of_models)))


def _add(
    mask_code: MaskCode,
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


def _by_name(bits_and_iou: Mapping[int, Float64[np.ndarray, "2 ..."]]) -> ObjectArrays:
    """Arrange entropies and IoUs of mixtures by array name, with the ``dims`` of ``ENTROPIES``.

    ``bits_and_iou`` has both for each mixture, by its index in ``MIXTURES``.
    """
    by_entropy: dict[MaskStatistic, list[Float64[np.ndarray, "2 ..."]]] = {}
    for k, (entropy, _) in enumerate(MIXTURES):
        by_entropy.setdefault(entropy, []).append(bits_and_iou[k])
    by_name: dict[str, Float64[np.ndarray, "..."]] = {}
    for entropy, numbers in by_entropy.items():
        bits, iou = np.stack(numbers, axis=2) if entropy.follows_judged else numbers[0]
        by_name |= {entropy.name: bits, entropy.iou_name: iou}
    return by_name


def _take(
    mixture: Mixture, truth: Bool[np.ndarray, "object pixel"], numbers: list[int]
) -> Float64[np.ndarray, "number 2 object"]:
    """Entropy in bits and IoU of some mixtures, which are then reset to 0.

    ``numbers`` are indices in ``MIXTURES``.
    """
    indices = np.array(numbers)
    counts = np.empty((len(mixture), len(numbers), 2), np.int64)
    count_foreground(mixture, truth, indices, counts)
    bits = np.empty((len(mixture), len(numbers)))
    take_entropies(mixture, indices, bits)
    n_foreground, n_shared = np.moveaxis(counts, -1, 0)
    n_in_either = n_foreground + truth.sum(axis=1, keepdims=True) - n_shared
    # No pixel in either is an IoU of 0: there is no object to find.
    iou = n_shared / np.maximum(n_in_either, 1)
    return np.stack([bits, iou]).transpose(2, 0, 1)
