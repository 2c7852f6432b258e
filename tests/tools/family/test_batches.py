"""Batches of the recipe: which objects are clicked, and where."""

import numpy as np
import pytest

from pipeline.scenes.scene import draw_scene, scene_seeds
from tools.family.batches import Batch, draw_batch
from tools.family.images import MIN_AREA_PX, BatchPlan, DrawImages, draw_cartoons, draw_scenes
from tools.family.prompts import CorrectionPlan

PLAN = BatchPlan(seed=3, scene_size_px=64, n_images=2)
SIZES = pytest.mark.parametrize("size_px", [64, 32])
STYLES = pytest.mark.parametrize("draw_images", [draw_cartoons, draw_scenes])


def draw(
    step: int,
    size_px: int = 64,
    draw_images: DrawImages = draw_scenes,
    plan: BatchPlan = PLAN,
    *,
    n_objects: int = 6,
    corrected: CorrectionPlan | None = None,
    is_framed: bool = False,
) -> Batch:
    return draw_batch(
        plan,
        step,
        size_px=size_px,
        draw_images=draw_images,
        n_objects=n_objects,
        corrected=corrected,
        is_framed=is_framed,
    )


def test_steps_draw_their_own_scenes_from_the_seeds_of_the_family() -> None:
    seeds = scene_seeds(3, "family", 6)
    for step in range(3):
        batch = draw(step)
        for place in range(2):
            scene = draw_scene(seeds[2 * step + place], 64)
            assert np.array_equal(batch.rgb[place], scene.rgb)


@SIZES
@STYLES
@pytest.mark.parametrize("step", range(4))
def test_every_click_is_on_its_object(step: int, size_px: int, draw_images: DrawImages) -> None:
    batch = draw(step, size_px, draw_images)
    assert batch.rgb.shape == (2, size_px, size_px, 3)
    assert len(batch.point_px) == len(batch.mask) == 12
    for points, mask in zip(batch.point_px.astype(int), batch.mask, strict=True):
        assert mask[points[:, 1], points[:, 0]].all()


def test_tiles_are_parts_of_a_scene_that_show_an_object() -> None:
    plan = BatchPlan(seed=3, scene_size_px=128, n_images=4)
    seeds = scene_seeds(3, "family", 16)[12:14]
    scenes = [draw_scene(seed, 128) for seed in seeds]
    tiles = {
        scene.rgb[y : y + 64, x : x + 64].tobytes()
        for scene in scenes
        for y in (0, 64)
        for x in (0, 64)
    }
    batch = draw(3, 64, plan=plan, n_objects=3)
    assert len({rgb.tobytes() for rgb in batch.rgb} & tiles) == 4
    assert (batch.mask.sum((1, 2)) >= MIN_AREA_PX).all()


def test_where_masks_are_corrected_the_last_click_of_an_image_is_on_the_ground() -> None:
    n_ground = 0
    for step in range(12):
        batch = draw(step, corrected=CorrectionPlan(2))
        is_box = batch.label[0, 0] > 1
        for first in range(0, 12, 6):
            masks, points = batch.mask[first : first + 6], batch.point_px[first : first + 6]
            assert masks[:5].any(axis=(1, 2)).all()
            if is_box or masks[5].any():
                continue
            n_ground += 1
            x, y = points[5].astype(int).T
            assert not masks[:5, y, x].any()
    assert n_ground > 5


def test_a_frame_has_the_size_of_the_scenes_and_its_tiles_lie_within_at_whole_cells() -> None:
    plan = BatchPlan(seed=3, scene_size_px=128, n_images=1)
    places = set()
    for step in range(40):
        frame = draw(step, 64, plan=plan, is_framed=True).frame
        assert frame is not None
        assert frame.size_px == 128
        places |= set(frame.place_px)
    assert places == {0, 16, 32, 48, 64}
    assert draw(0, 64, plan=plan).frame is None
