"""Scenes that the page offers: drawn at start, of those that the demo evaluates on."""

import io
from typing import Final

from PIL import Image

from pipeline.scenes.scene import draw_scene, scene_seeds

N_SCENES: Final = 6

SEED: Final = 1
SIZE_PX: Final = 256
"""As ``params.yaml:shapes`` has them, which is not there outside of a clone."""


def scene_files() -> tuple[bytes, ...]:
    """PNG files of the first validation scenes, which neither models nor heads have learned."""
    files = []
    for seed in scene_seeds(SEED, "val", N_SCENES):
        png = io.BytesIO()
        Image.fromarray(draw_scene(seed, SIZE_PX).rgb).save(png, "PNG")
        files.append(png.getvalue())
    return tuple(files)
