"""The demo's scenes are told from all other images, to the pixel."""

import numpy as np
import pytest
import yaml

from pipeline.scenes.scene import (
    DEMO_SEED,
    DEMO_SIZE_PX,
    N_DEMO_SCENES,
    draw_scene,
    is_demo_scene,
    scene_seeds,
)
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.predictors import drawn


def scene(number: int, role: str = "val") -> np.ndarray:
    return draw_scene(scene_seeds(DEMO_SEED, role, 40)[number], 256).rgb  # type: ignore[arg-type]


def test_they_are_those_of_the_settings() -> None:
    shapes = yaml.safe_load((ROOT / "params" / "results.yaml").read_text("utf-8"))["shapes"]
    assert (
        shapes["seed"],
        shapes["image_size_px"],
        shapes["n_val_images"],
    ) == (DEMO_SEED, DEMO_SIZE_PX, N_DEMO_SCENES)


@pytest.mark.parametrize("number", [0, 39])
def test_a_scene_is_known_in_bytes_and_in_floats(number: int) -> None:
    assert is_demo_scene(scene(number))
    assert is_demo_scene((scene(number) / 255).astype(np.float32))


def test_other_images_are_not() -> None:
    changed = scene(0).copy()
    changed[0, 0, 0] ^= 1
    for image in (changed, scene(0)[::-1], scene(0)[:100], scene(0, "train"), drawn(), drawn(64)):
        assert not is_demo_scene(image)
