from dataclasses import replace
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.entropy.mixture_plan import plan_cells
from pipeline.entropy.mixtures import ObjectArrays, mixture_arrays
from pipeline.entropy.objects import blocks, object_arrays
from pipeline.mask_statistics import OF_FEATURES
from pipeline.masks import FIRST_FOREGROUND_CODE, decode
from pipeline.vocabulary import NEAR_CLICKS, PROMPTS
from tests.fixtures.drawn_masks import Cells, draw_cells, held_rows, read
from tests.fixtures.mini import MODELS

VIEWS = ("identity", "vflip", "jpeg10")
JUDGED_BY = ("iou", "sam_score")
"""What the judged proposal is the highest in, in the order of ``JUDGED``."""


def draw_truth(n_objects: int, size_px: int) -> np.ndarray:
    """Boxes, one of which reaches the edge of the frame."""
    truth = np.zeros((n_objects, size_px, size_px), bool)
    for n, one in enumerate(truth):
        one[n : size_px // 2 + n, size_px // 3 :] = True
    return truth


def arrays_of(
    cells: Cells,
    truth: np.ndarray,
    models: tuple[str, ...],
    views: tuple[str, ...],
    block_objects: int = 9,
) -> ObjectArrays:
    return object_arrays(
        read(cells),
        truth.__getitem__,
        models=models,
        views=views,
        block_objects=block_objects,
    )


def dice(masks: list[np.ndarray]) -> float:
    """Mean over the pairs of masks; 1 of a mask alone, and of two empty ones."""
    pairs = list(combinations([p > 0.5 for p in masks], 2))
    found = [2 * (p & q).sum() / (p.sum() + q.sum()) if (p | q).any() else 1 for p, q in pairs]
    return float(np.mean(found or [1]))


def slow_agreements(
    cells: Cells, models: tuple[str, ...], views: tuple[str, ...], n: int
) -> dict[str, list[Any]]:
    """Agreements of object ``n`` as their sources say them."""

    def mask(model: str, view: str, prompt: int, proposal: int) -> np.ndarray:
        return decode(cells[model, view].mask_code[n, prompt, proposal]).astype(np.float64).ravel()

    def judged(model: str, view: str, prompt: int, by: str) -> np.ndarray:
        values = getattr(cells[model, view], by)[n, prompt].tolist()
        return mask(model, view, prompt, values.index(max(values)))

    def each(of: Any) -> list[list[float]]:  # noqa: ANN401
        return [[of(model, by) for model in models] for by in JUDGED_BY]

    of_these = [model for model in MODELS if model in models]
    ends = {of_these[0], of_these[-1]}
    return {
        "dice_theta": [dice([judged(m, "identity", 0, by) for m in models]) for by in JUDGED_BY],
        "dice_ends": [
            dice([judged(m, "identity", 0, by) for m in models if m in ends]) for by in JUDGED_BY
        ],
        "dice_xp": each(lambda m, by: dice([judged(m, "identity", c, by) for c in range(8)])),
        "dice_a": [dice([mask(m, "identity", 0, a) for a in range(3)]) for m in models],
        "dice_t": each(lambda m, by: dice([judged(m, v, 0, by) for v in views])),
    }


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("models", "views", "size_px"),
    [
        (MODELS, VIEWS, 16),
        (("tiny", "large"), ("vflip", "identity"), 5),  # 25 px: not whole bytes
        (("tiny",), ("identity",), 8),  # no pair of models or views
    ],
)
def test_agreements_equal_those_of_slow_loops(
    models: tuple[str, ...], views: tuple[str, ...], size_px: int
) -> None:
    cells = draw_cells(size_px, models=models, views=views, size_px=size_px, n_objects=3)
    for rows in cells.values():  # just foreground, in a pixel that is in no word of eight
        rows.mask_code[0, :, :, -1, -1] = FIRST_FOREGROUND_CODE
    cells["tiny", "identity"].mask_code[1] = 0  # empty masks agree
    cells["tiny", "identity"].mask_code[2] = 30  # no foreground, but doubts
    found = arrays_of(cells, draw_truth(3, size_px), models, views)
    for n in range(3):
        for name, expected in slow_agreements(cells, models, views, n).items():
            np.testing.assert_allclose(found[name][n], expected, atol=1e-12, err_msg=name)
    assert "dice_near" not in found


def with_near(cells: Cells, models: tuple[str, ...]) -> Cells:
    """The same cells; those of the identity view have more prompt sets, the clicks moved a bit."""
    more = draw_cells(77, models=models, views=("identity",), size_px=16)
    prompts = (*PROMPTS, "box", *NEAR_CLICKS)

    def joined(model: str, name: str) -> np.ndarray:
        of_both = [getattr(some[model, "identity"], name) for some in (cells, more)]
        return np.concatenate(of_both, axis=1)[:, : len(prompts)]

    names = ("mask_code", "sam_score", "iou")
    return cells | {
        key: held_rows(code, sam_score, iou, prompts)
        for key in more
        for code, sam_score, iou in [[joined(key[0], name) for name in names]]
    }


def test_moved_clicks_agree_as_slow_loops_say_and_change_nothing_else() -> None:
    models, views = ("tiny", "large"), ("identity", "vflip")
    cells = draw_cells(16, models=models, views=views, size_px=16)
    more = with_near(cells, models)
    found = arrays_of(more, draw_truth(2, 16), models, views)
    for n, (j, by), (m, model) in product(range(2), enumerate(JUDGED_BY), enumerate(models)):
        rows = more[model, "identity"]
        masks = [
            decode(rows.mask_code[n, place, getattr(rows, by)[n, place].argmax()])
            for place in (0, *(rows.prompts.index(name) for name in NEAR_CLICKS))
        ]
        assert len(masks) == 8
        assert found["dice_near"][n, j, m] == pytest.approx(dice(masks), abs=1e-12)
    without = arrays_of(cells, draw_truth(2, 16), models, views)
    assert {*found} == {*without, "dice_near"}
    for name, values in without.items():
        np.testing.assert_array_equal(found[name], values)


def test_entropies_and_ious_are_those_of_the_mixtures_to_the_last_bit() -> None:
    cells, truth = draw_cells(3, models=MODELS[:2], views=VIEWS, size_px=12), draw_truth(2, 12)
    found = arrays_of(cells, truth, MODELS[:2], VIEWS)
    planned = plan_cells(read(cells), models=MODELS[:2], views=VIEWS)
    mixtures = mixture_arrays(planned, slice(None), truth)
    for name in {*mixtures} - {*OF_FEATURES}:
        np.testing.assert_array_equal(found[name], mixtures[name])


def test_statistics_of_a_single_mask_are_those_of_features() -> None:
    models, rng = MODELS[:2], np.random.default_rng(0)
    cells = {
        name: replace(
            rows,
            statistics={of: rng.random(rows.iou.shape, np.float32) for of in OF_FEATURES.values()},
        )
        for name, rows in draw_cells(3, models=models, views=VIEWS, size_px=12).items()
    }
    found = arrays_of(cells, draw_truth(2, 12), models, VIEWS)
    for n, (j, by), (m, model) in product(range(2), enumerate(JUDGED_BY), enumerate(models)):
        rows = cells[model, "identity"]
        judged = getattr(rows, by)[n, 0].argmax()
        assert found["h_std"][n, j, m] == rows.statistics["mask_entropy"][n, 0, judged]
        assert found["soft_dice"][n, j, m] == rows.statistics["confidence"][n, 0, judged]


@pytest.mark.parametrize("block_objects", [1, 2])
def test_a_run_in_blocks_equals_the_run_at_once(block_objects: int) -> None:
    names: dict[str, Any] = {"models": ("tiny", "small"), "views": ("identity", "vflip")}
    cells = draw_cells(7, **names, size_px=9, n_objects=5)
    truth = draw_truth(5, 9)
    expected = arrays_of(cells, truth, **names)
    found = arrays_of(cells, truth, **names, block_objects=block_objects)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


@given(st.integers(0, 20), st.integers(1, 9))
def test_blocks_cover_the_objects_in_order(n_objects: int, block_objects: int) -> None:
    found = blocks(n_objects, block_objects)
    rows = range(n_objects)
    assert [row for block in found for row in rows[block]] == list(rows)
    assert all(len(rows[block]) <= block_objects for block in found)
