"""Recognises the drawn scenes of the demo."""

from functools import cache
from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8

from pipeline.scenes.scene import draw_scene, scene_seeds

SEED: Final = 1
SIZE_PX: Final = 256
N_SCENES: Final = 40
"""As ``params/results.yaml:shapes`` has them for validation, which no installation has."""


def is_demo_scene(
    rgb: UInt8[np.ndarray, "height width 3"] | Float32[np.ndarray, "height width 3"],
) -> bool:
    """Whether an image is one of the demo's validation scenes, to the last pixel.

    >>> scene = draw_scene(scene_seeds(SEED, "val", 1)[0], SIZE_PX).rgb
    >>> is_demo_scene(scene), is_demo_scene(255 - scene)
    (True, False)
    """
    if rgb.shape != (SIZE_PX, SIZE_PX, 3):
        return False
    pixels = rgb if rgb.dtype == np.uint8 else np.rint(255 * rgb)
    return any(np.array_equal(pixels, _scene(number)) for number in range(N_SCENES))


@cache
def _scene(number: int) -> UInt8[np.ndarray, "size size 3"]:
    return draw_scene(scene_seeds(SEED, "val", N_SCENES)[number], SIZE_PX).rgb
