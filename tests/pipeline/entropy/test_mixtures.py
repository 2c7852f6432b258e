from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.entropy.kernels import (
    LOG_PX,
    add_mask,
    add_mixtures,
    count_foreground,
    take_entropies,
    weighted_entropies,
    write_log2,
)
from pipeline.entropy.mixture_plan import (
    CellRows,
    plan_cells,
    task_probability,
)
from pipeline.entropy.mixtures import ObjectArrays, mask_entropy, mixture_arrays
from pipeline.mask_statistics import ENTROPIES
from pipeline.masks import N_CODES, decode
from tests.fixtures.drawn_masks import Cells, HeldRows, draw_cells, held_rows, read, soft_masks
from tests.fixtures.mini import MODELS

VIEWS = ("identity", "vflip", "jpeg10", "jpeg30", "gblur5", "gnoise")
"""T of the paper."""

JUDGED_BY = ("iou", "sam_score")
"""What the judged proposal is the highest in, in the order of ``JUDGED``."""


def slow_entropy(p: np.ndarray) -> float:
    """Eq. 3, pixel by pixel, float64."""
    total = 0.0
    for y in p.astype(np.float64).ravel():
        h2 = -sum(q * np.log2(q) for q in (y, 1 - y) if q > 0)
        total += y * h2
    norm = p.sum(dtype=np.float64)
    return float(total / norm) if norm else 0.0


def numpy_entropy(p: np.ndarray) -> float:
    """The same without the loop over pixels."""
    with np.errstate(divide="ignore", invalid="ignore"):
        h2 = -np.nan_to_num(p * np.log2(p)) - np.nan_to_num((1 - p) * np.log2(1 - p))
    return float((p * h2).sum() / p.sum()) if p.sum() else 0.0


def slow_mean_masks(
    cells: Cells, models: Sequence[str], views: Sequence[str], n: int
) -> dict[str, list[Any]]:
    """Mean masks behind Eq. 4 to 7 and H_T of object ``n``, said as the paper says them."""

    def mask(model: str, view: str, prompt: int, proposal: int) -> np.ndarray:
        return decode(cells[model, view].mask_code[n, prompt, proposal]).astype(np.float64)

    def tasks(model: str, view: str, prompt: int) -> list[float]:
        score = [float(s) for s in cells[model, view].sam_score[n, prompt]]
        return [s / sum(score) if sum(score) else 1 / 3 for s in score]

    def judged(model: str, view: str, prompt: int, by: str) -> np.ndarray:
        values = getattr(cells[model, view], by)[n, prompt].tolist()
        return mask(model, view, prompt, values.index(max(values)))

    def by_task(model: str, view: str, prompt: int) -> np.ndarray:
        parts = [w * mask(model, view, prompt, a) for a, w in enumerate(tasks(model, view, prompt))]
        return np.asarray(np.sum(parts, axis=0))

    def mean(masks: list[np.ndarray]) -> np.ndarray:
        return np.asarray(np.mean(masks, axis=0).clip(0, 1))

    return {
        "h_y": [mean([by_task(m, v, c) for m in models for v in views for c in range(8)])],
        "h_a": [by_task(m, "identity", 0).clip(0, 1) for m in models],
        "h_theta": [mean([judged(m, "identity", 0, by) for m in models]) for by in JUDGED_BY],
        "h_xp": [
            [mean([judged(m, "identity", c, by) for c in range(8)]) for m in models]
            for by in JUDGED_BY
        ],
        "h_std": [[judged(m, "identity", 0, by) for m in models] for by in JUDGED_BY],
        "h_t": [[mean([judged(m, v, 0, by) for v in views]) for m in models] for by in JUDGED_BY],
    }


def drawn_truth(cells: Cells) -> np.ndarray:
    """A disc for each object of the cells, at the size of their masks."""
    n_objects, *_, height, width = next(iter(cells.values())).mask_code.shape
    y, x = np.mgrid[:height, :width]
    radius_px = height / 4 + np.arange(n_objects)[:, None, None]
    return np.asarray(np.hypot(y - height / 2, x - width / 2) < radius_px)


def arrays_of(cells: Cells, models: Sequence[str], views: Sequence[str]) -> ObjectArrays:
    planned = plan_cells(read(cells), models=models, views=views)
    return mixture_arrays(planned, slice(None), drawn_truth(cells))


def slow_iou(p: np.ndarray, truth: np.ndarray) -> float:
    return float(((p > 0.5) & truth).sum() / ((p > 0.5) | truth).sum())


@given(arrays(np.float64, (2, 3, 4), elements=st.floats(0, 1)))
def test_a_masks_entropy_is_the_slow_sum(p: np.ndarray) -> None:
    found = mask_entropy(p)
    np.testing.assert_allclose(found, [slow_entropy(mask) for mask in p], rtol=1e-12, atol=1e-12)
    assert np.all((found >= 0) & (found <= 1))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_float_and_any_batch_shape_will_do(dtype: type[np.floating]) -> None:
    p = soft_masks(0, 6, 16).astype(dtype).reshape(2, 3, 16, 16)
    found = mask_entropy(p)
    assert found.shape == (2, 3)
    assert mask_entropy(p[1, 2]).shape == ()
    assert mask_entropy(p[:, :0]).shape == (2, 0)
    # A transposed view, not contiguous, holds the same pixels.
    np.testing.assert_allclose(mask_entropy(p.swapaxes(2, 3)), found, rtol=1e-12)
    np.testing.assert_allclose(found[1, 2], slow_entropy(p[1, 2]), rtol=1e-6)


@pytest.mark.parametrize("value", [-0.1, 1.5, np.nan])
def test_logits_are_no_probabilities(value: float) -> None:
    with pytest.raises(ValueError, match=rf"probability must lie in \[0, 1\], got {value}"):
        mask_entropy(np.array([[0.2, value]]))


@pytest.mark.parametrize(
    ("models", "views", "size_px"),
    [
        (MODELS, VIEWS, 16),  # words of eight codes only
        (MODELS, ("identity", "vflip", "hflip"), 15),  # and a tail
        (("tiny", "large"), ("gnoise", "identity"), 65),  # more than one block
        (("tiny",), ("identity",), 2),  # less than a word; no two models or views
    ],
)
def test_entropies_and_ious_equal_the_oracle_on_decoded_masks(
    models: tuple[str, ...], views: tuple[str, ...], size_px: int
) -> None:
    cells = draw_cells(size_px, models=models, views=views, size_px=size_px)
    found, truths = arrays_of(cells, models, views), drawn_truth(cells)
    for n, truth in enumerate(truths):
        mean_masks = slow_mean_masks(cells, models, views, n)
        for entropy in ENTROPIES:
            masks = np.array(mean_masks[entropy.name])
            flat = masks.reshape(-1, size_px, size_px)
            for name, expected in (
                (entropy.name, [numpy_entropy(p) for p in flat]),
                (entropy.iou_name, [slow_iou(p, truth) for p in flat]),
            ):
                values = np.ravel(found[name][n])
                np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6, err_msg=name)


def test_one_buffer_may_serve_every_cell() -> None:
    names: dict[str, Any] = {"models": ("tiny", "small"), "views": ("identity", "vflip")}
    cells = draw_cells(4, **names, size_px=16)
    buffer = np.empty_like(cells["tiny", "identity"].mask_code)

    class IntoBuffer:
        def __init__(self, masks: np.ndarray) -> None:
            self._masks = masks

        def __getitem__(self, some: slice) -> np.ndarray:
            buffer[some] = self._masks[some]
            return buffer[some]

    def read_later(model: str, view: str) -> CellRows:
        rows = cells[model, view]
        return CellRows(IntoBuffer(rows.mask_code), rows.sam_score, rows.iou, rows.statistics)

    expected = arrays_of(cells, **names)
    found = mixture_arrays(plan_cells(read_later, **names), slice(None), drawn_truth(cells))
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


@given(arrays(np.float32, (4, 3), elements=st.floats(0, 1, width=32)))
def test_task_probabilities_are_shares_of_the_scores(score: np.ndarray) -> None:
    found = task_probability(score)
    np.testing.assert_allclose(found.sum(axis=-1), 1)
    np.testing.assert_allclose(found[score.sum(axis=-1) == 0], 1 / 3)
    # In float64, for a tolerance of the least float32 would be 0.
    exact = score.astype(np.float64)
    np.testing.assert_allclose(found * exact.sum(axis=-1, keepdims=True), exact)


def rows(size: tuple[int, int]) -> HeldRows:
    score = np.full((1, 9, 3), 0.5, np.float32)
    return held_rows(np.zeros((1, 9, 3, *size), np.uint8), score, score)


def test_cells_of_unlike_masks_are_refused() -> None:
    cells = {("tiny", "identity"): rows((2, 2)), ("large", "identity"): rows((4, 2))}
    message = "objects and mask size of the first, 1 and 4 px, got 1 and 4 x 2 px"
    with pytest.raises(ValueError, match=message):
        arrays_of(cells, ("tiny", "large"), ("identity",))


def test_kernels_compute_compiled_what_they_say() -> None:
    rng = np.random.default_rng(0)
    code = (rng.integers(0, N_CODES, (1, 2, 43)) * rng.integers(0, 2, (1, 2, 43))).astype(np.uint8)
    code[0, 0, :8] = 0
    weight = np.array([[[0.25, 0.0], [0.5, 0.5]]])
    table = np.append(0, rng.uniform(size=255))
    said, compiled = np.zeros((1, 2, 43)), np.zeros((1, 2, 43))
    add_mixtures.py_func(code, weight, table, said)
    add_mixtures(code, weight, table, compiled)
    np.testing.assert_array_equal(said, compiled)

    add_mask.py_func(code[0, 0], table, said[0, 0])
    add_mask(code[0, 0], table, compiled[0, 0])
    np.testing.assert_array_equal(said, compiled)

    p = np.stack([np.linspace(0, 1, 9), np.zeros(9)])
    bits_said, bits_compiled = np.empty(2), np.empty(2)
    weighted_entropies.py_func(p, bits_said)
    weighted_entropies(p, bits_compiled)
    np.testing.assert_allclose(bits_said, bits_compiled, rtol=1e-12)

    mixture, truth = rng.uniform(size=(1, 2, 43)), rng.integers(0, 2, (1, 43)) > 0
    numbers, counts, counts_compiled = np.array([1, 0]), *np.empty((2, 1, 2, 2), np.int64)
    count_foreground.py_func(mixture, truth, numbers, counts)
    count_foreground(mixture, truth, numbers, counts_compiled)
    np.testing.assert_array_equal(counts, counts_compiled)


def test_logarithms_are_numpys_from_the_smallest_number_to_1() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([10 ** rng.uniform(-300, 0, 4000), rng.uniform(0, 1, 4000), [1 - 2**-53, 1]])
    found = np.empty_like(x)
    write_log2(x, x.size, found, np.empty((2, x.size)))
    np.testing.assert_allclose(found, np.log2(x), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("sam_score", np.nan, "sam_score must be >= 0 and finite, got nan"),
        ("sam_score", -0.25, "sam_score must be >= 0 and finite, got -0.25"),
        ("iou", 1.5, r"iou must lie in \[0, 1\], got 1.5"),
    ],
)
def test_rows_no_mixture_can_be_made_of_are_refused(name: str, value: float, message: str) -> None:
    held = rows((2, 2))
    changes: dict[str, Any] = {name: np.full_like(held.iou, value)}
    with pytest.raises(ValueError, match=message):
        replace(held, **changes)


@pytest.mark.parametrize("n_px", [0, 1, LOG_PX, LOG_PX + 3])
def test_mixtures_are_empty_once_their_entropies_are_taken(n_px: int) -> None:
    mixture = np.random.default_rng(n_px).uniform(size=(2, 3, n_px))
    expected = [[numpy_entropy(p) for p in of_object[[2, 0]]] for of_object in mixture]
    kept = mixture[:, 1].copy()
    bits = np.empty((2, 2))
    take_entropies(mixture, np.array([2, 0]), bits)
    np.testing.assert_allclose(bits, expected, rtol=1e-12, atol=0)
    assert not mixture[:, [0, 2]].any()
    np.testing.assert_array_equal(mixture[:, 1], kept)
