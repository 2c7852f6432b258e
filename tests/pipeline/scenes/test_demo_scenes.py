"""Scenes of the page are those that the settings of the results draw."""

import yaml

from pipeline.scenes.scene import DEMO_SEED, DEMO_SIZE_PX, N_DEMO_SCENES
from tests.fixtures.dvc_stages import ROOT


def test_they_are_those_of_the_settings() -> None:
    shapes = yaml.safe_load((ROOT / "params" / "results.yaml").read_text("utf-8"))["shapes"]
    assert (
        shapes["seed"],
        shapes["image_size_px"],
        shapes["n_val_images"],
    ) == (DEMO_SEED, DEMO_SIZE_PX, N_DEMO_SCENES)
