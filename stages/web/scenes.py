"""Scenes that the page offers: drawn at start, of those that the demo evaluates on."""

from typing import Final

from pipeline.scenes.scene import draw_scene, scene_seeds
from storage.images.files import png_bytes

N_SCENES: Final = 6

SEED: Final = 1
SIZE_PX: Final = 256
"""As ``params.yaml:shapes`` has them, which is not there outside of a clone."""


def scene_files() -> tuple[bytes, ...]:
    """PNG files of the first validation scenes, which neither models nor heads have learned."""
    seeds = scene_seeds(SEED, "val", N_SCENES)
    return tuple(png_bytes(draw_scene(seed, SIZE_PX).rgb) for seed in seeds)
