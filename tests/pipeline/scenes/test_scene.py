"""What every drawn scene promises to the models that are trained on it."""

from collections import Counter
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.scenes.outlines import OUTLINES, Outline, draw_outline, rasterise
from pipeline.scenes.placement import (
    CATEGORIES,
    MAX_OBJECTS,
    MIN_OBJECTS,
    Item,
    Layer,
    Layout,
)
from pipeline.scenes.scene import (
    MIN_AREA_PX,
    MOST_IOU,
    Role,
    Scene,
    _compose,
    _visible_items,
    draw_scene,
    scene_seeds,
)
from pipeline.scenes.textures import draw_texture

N_SCENES = 60


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(seed, 128) for seed in scene_seeds(1, "val", N_SCENES)]


def test_scenes_have_the_promised_form(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert scene.rgb.shape == (128, 128, 3)
        assert MIN_OBJECTS <= len(scene.masks) <= MAX_OBJECTS
        assert len(scene.categories) == len(scene.masks)
        assert set(scene.categories) <= set(CATEGORIES)
        assert scene.masks.sum(axis=(1, 2)).min() >= MIN_AREA_PX


def test_no_two_objects_of_a_scene_are_nearly_the_same(scenes: list[Scene]) -> None:
    for scene in scenes:
        for k, mask in enumerate(scene.masks):
            for other in scene.masks[:k]:
                assert (mask & other).sum() <= MOST_IOU * (mask | other).sum()


def test_objects_overlap_only_as_part_and_whole(scenes: list[Scene]) -> None:
    for scene in scenes:
        for k, mask in enumerate(scene.masks):
            for other in scene.masks[:k]:
                shared = (mask & other).sum()
                assert shared in {0, min(mask.sum(), other.sum())}


def test_one_click_can_mean_several_things(scenes: list[Scene]) -> None:
    readings = Counter(int(scene.masks.sum(axis=0).max()) for scene in scenes)

    assert max(readings) == 3
    assert sum(n for depth, n in readings.items() if depth >= 2) >= N_SCENES // 2


def test_a_part_lies_within_another_object(scenes: list[Scene]) -> None:
    parts = [(s, k) for s in scenes for k, name in enumerate(s.categories) if name == "part"]
    within = [
        any((s.masks[k] <= other).all() for j, other in enumerate(s.masks) if j != k)
        for s, k in parts
    ]

    # Not all: where all else of the whole is hidden, the whole is left out.
    assert len(within) >= 50
    assert np.mean(within) > 0.9


def test_a_whole_of_which_the_part_is_all_that_shows_is_one_object() -> None:
    texture = draw_texture(np.random.default_rng(0))
    square = np.array([[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]])
    body, part, other = (
        Layer(Outline("box", (ring,)), texture) for ring in (square, square, 0.2 * square)
    )
    items = (Item("box", (0, 1)), Item("part", (1,)), Item("box", (2,)))
    layout = Layout(texture, (body, part, other), items)
    _, labels = _compose(layout, 64)

    assert _visible_items(layout, labels) == [items[0], items[2]]


def test_the_seed_fixes_every_pixel() -> None:
    first, again, other = (draw_scene(seed, 96) for seed in (5, 5, 6))

    np.testing.assert_array_equal(first.rgb, again.rgb)
    np.testing.assert_array_equal(first.masks, again.masks)
    assert first.categories == again.categories
    assert not np.array_equal(first.rgb, other.rgb)


@pytest.mark.parametrize("seed", range(8))
def test_a_scene_is_the_same_at_twice_the_size(seed: int) -> None:
    small, large = draw_scene(seed, 128), draw_scene(seed, 256)
    shrunk = large.rgb.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))

    assert np.abs(shrunk - small.rgb).mean() < 12
    covered = large.masks.any(axis=0).reshape(128, 2, 128, 2).mean(axis=(1, 3)) > 0.5
    assert (covered == small.masks.any(axis=0)).mean() > 0.97


@given(st.integers(0, 10**6), st.integers(1, 2**31))
def test_no_seed_serves_two_purposes(split_seed: int, n: int) -> None:
    roles = get_args(Role)
    ranges = [scene_seeds(seed, role, n) for seed in (split_seed, split_seed + 1) for role in roles]
    ranges.sort(key=lambda seeds: seeds.start)

    assert all(len(seeds) == n for seeds in ranges)
    assert all(before.stop <= after.start for before, after in pairwise(ranges))


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
