"""Batches of the recipe: which objects are clicked, and where."""

import numpy as np
import pytest

from pipeline.recipe_batches import BatchPlan, draw_batch
from pipeline.scenes import draw_scene, scene_seeds

PLAN = BatchPlan(seed=3, n_scenes=2, n_objects=6)


def test_a_batch_follows_from_plan_and_step() -> None:
    first, again = draw_batch(PLAN, 4, 64), draw_batch(PLAN, 4, 64)
    assert np.array_equal(first.rgb, again.rgb)
    assert np.array_equal(first.point_px, again.point_px)
    assert np.array_equal(first.mask, again.mask)


def test_steps_draw_their_own_scenes_from_the_seeds_of_the_family() -> None:
    seeds = scene_seeds(3, "family", 6)
    for step in range(3):
        batch = draw_batch(PLAN, step, 64)
        for place in range(2):
            scene = draw_scene(seeds[2 * step + place], 64)
            assert np.array_equal(batch.rgb[place], scene.rgb)


@pytest.mark.parametrize("step", range(6))
def test_every_click_is_on_its_object(step: int) -> None:
    batch = draw_batch(PLAN, step, 64)
    assert batch.point_px.shape[0] == len(batch.mask) == 12
    for points, mask in zip(batch.point_px.astype(int), batch.mask, strict=True):
        assert mask[points[:, 1], points[:, 0]].all()


def test_objects_of_a_scene_are_all_clicked_before_one_is_clicked_twice() -> None:
    plan = BatchPlan(seed=3, n_scenes=1, n_objects=12)
    batch = draw_batch(plan, 0, 64)
    scene = draw_scene(scene_seeds(3, "family", 1)[0], 64)
    n_own = len(scene.masks)
    own = {mask.tobytes() for mask in scene.masks.astype(np.uint8)}
    assert {mask.tobytes() for mask in batch.mask[:n_own]} == own
    assert np.array_equal(batch.mask[n_own:], batch.mask[: 12 - n_own])


def test_half_of_the_steps_have_one_click_and_the_others_up_to_eight() -> None:
    plan = BatchPlan(seed=0, n_scenes=1, n_objects=1)
    n_clicks = [draw_batch(plan, step, 64).point_px.shape[1] for step in range(120)]
    assert set(n_clicks) == set(range(1, 9))
    assert 0.35 < np.mean(np.array(n_clicks) == 1) < 0.65
