"""Training images of photographs: what is an object in them, and where its pixels come from."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import label as label_parts

from storage.datasets.bsds500 import SHARES
from tests.fixtures.bsds500 import HEIGHT_PX, WIDTH_PX, quarters, speckled, write_bsds500
from tools.family import photographs as drawing
from tools.family.images import BatchPlan, draw_scenes
from tools.family.photographs import (
    Photograph,
    connected,
    draw_photograph,
    draw_photographs,
    load_photographs,
    sized_parts,
)

SIZES = pytest.mark.parametrize(("size_px", "share"), [(64, 1.0), (32, 0.5)])


def photograph(seed: int) -> Photograph:
    """Two annotators: one sees quarters of two colours, the other a left and a right half."""
    rgb = np.random.default_rng(seed).integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    halves = np.repeat([[3, 8]], HEIGHT_PX, axis=0).repeat(WIDTH_PX // 2, axis=1)
    return Photograph(rgb, (connected(quarters()), connected(halves)))


PHOTOGRAPHS = tuple(photograph(seed) for seed in range(3))


@given(
    arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 2))
)
def test_connected_parts_are_those_of_each_label(labels: np.ndarray) -> None:
    parts = connected(labels)
    n_parts = sum(label_parts(labels == value)[1] for value in np.unique(labels))
    assert np.array_equal(np.unique(parts), np.arange(n_parts))
    for part in range(n_parts):
        assert np.unique(labels[parts == part]).size == 1
        assert label_parts(parts == part)[1] == 1


def test_parts_too_small_or_too_large_are_no_objects() -> None:
    labels = connected(speckled())
    areas = np.bincount(labels.ravel())[sized_parts(labels)]
    assert areas.tolist() == [15]


@SIZES
@pytest.mark.parametrize("seed", range(8))
def test_objects_are_of_the_size_that_the_reader_takes(
    seed: int, size_px: int, share: float
) -> None:
    image = draw_photograph(
        np.random.default_rng(seed), PHOTOGRAPHS, size_px, share, is_varied=seed % 2 > 0
    )
    assert image.rgb.shape == (size_px, size_px, 3)
    assert image.rgb.dtype == np.uint8
    areas = image.masks.sum((1, 2)) / size_px**2
    assert len(areas) > 1
    assert ((areas >= SHARES[0]) & (areas <= SHARES[1])).all()
    assert not image.ground.any()


@SIZES
def test_the_same_generator_draws_the_same_image(size_px: int, share: float) -> None:
    first, second = (
        draw_photograph(np.random.default_rng(4), PHOTOGRAPHS, size_px, share, is_varied=True)
        for _ in range(2)
    )
    assert np.array_equal(first.rgb, second.rgb)
    assert np.array_equal(first.masks, second.masks)


def test_a_pasted_object_shows_another_photograph_and_hides_what_is_below(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drawing, "MAX_PASTED", 1)
    white = Photograph(np.full((HEIGHT_PX, WIDTH_PX, 3), 255, np.uint8), PHOTOGRAPHS[0].maps)
    rgb = np.zeros((64, 64, 3), np.uint8)
    everything = np.ones((64, 64), bool)
    pasted_rgb, (below, pasted) = drawing._paste(
        np.random.default_rng(1), rgb, [everything], [white]
    )
    assert pasted.any()
    assert np.array_equal(below, ~pasted)
    assert (pasted_rgb[pasted] > 100).all()
    assert (pasted_rgb[~pasted] < 130).all()


def test_a_merged_segment_is_a_segment_with_its_neighbour() -> None:
    labels = connected(quarters())
    merged = drawing._segment(np.random.default_rng(0), labels, 0, 1.0)
    assert merged.sum() == 2 * (labels == 0).sum()
    assert label_parts(merged)[1] == 1


def test_some_varied_steps_show_drawn_scenes_and_others_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = BatchPlan(seed=3, scene_size_px=64, n_images=2)
    monkeypatch.setattr(drawing, "PHOTOGRAPH_SHARE", 0.0)
    images = draw_photographs(PHOTOGRAPHS, np.random.default_rng(0), plan, 5, 64, is_varied=True)
    scenes = draw_scenes(np.random.default_rng(0), plan, 5, 64)
    assert [image.rgb.tobytes() for image in images] == [scene.rgb.tobytes() for scene in scenes]
    images = draw_photographs(PHOTOGRAPHS, np.random.default_rng(0), plan, 5, 64, is_varied=False)
    assert len(images) == 2
    assert not any(image.ground.any() for image in images)


def test_photographs_are_read_with_the_maps_of_all_annotators(tmp_path: Path) -> None:
    place = write_bsds500(tmp_path, [[quarters()], [speckled(), quarters()]])
    first, second = load_photographs(Path(place["images"]), Path(place["annotations"]))
    assert first.rgb.shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert [len(loaded.maps) for loaded in (first, second)] == [1, 2]
    assert np.array_equal(second.maps[1], connected(quarters()))
