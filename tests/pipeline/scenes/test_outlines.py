"""Outlines stay where they are put, and come out as pixels there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.scenes.outlines import OUTLINES, Outline, draw_outline, rasterise

kinds = st.sampled_from(list(OUTLINES))


@given(kinds, st.integers(0, 999), st.floats(0, 1), st.floats(0, 1), st.floats(0.02, 0.5))
def test_an_outline_lies_within_its_circle(
    kind: str, seed: int, x: float, y: float, radius: float
) -> None:
    outline = draw_outline(np.random.default_rng(seed), kind, centre=(x, y), radius=radius)

    assert outline.kind == kind
    for ring in outline.rings:
        assert np.hypot(*(ring - [x, y]).T).max() <= radius * (1 + 1e-9)


@pytest.mark.parametrize("kind", OUTLINES)
def test_the_area_in_pixels_is_the_area_of_the_rings(kind: str) -> None:
    outline = draw_outline(np.random.default_rng(3), kind, centre=(0.5, 0.5), radius=0.4)
    areas = [_shoelace(1000 * ring) for ring in outline.rings]

    assert rasterise(outline, 1000).sum() == pytest.approx(areas[0] - sum(areas[1:]), rel=0.03)


def _shoelace(corners: np.ndarray) -> float:
    x, y = corners.T
    return float(abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2)


def test_what_lies_beyond_the_frame_is_cut_off() -> None:
    square = np.array([[-1.0, -1.0], [0.5, -1.0], [0.5, 2.0], [-1.0, 2.0]])
    mask = rasterise(Outline("box", (square,)), 64)

    assert mask[:, :32].all()
    assert not mask[:, 33:].any()
