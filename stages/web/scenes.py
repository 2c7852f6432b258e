"""Drawn scenes to try on the page, each with a first click that gets its own advice."""

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8

from pipeline.predictor.advice import Costs
from pipeline.predictor.demo_scenes import SEED, SIZE_PX
from pipeline.scenes.scene import draw_scene, scene_seeds
from storage.images.files import png_bytes

ADVISED: Final = tuple(name for name, cost in Costs().by_correction.items() if cost < 1)
"""What may be advised at the costs by default."""

SCENES_FILE: Final = Path(__file__).with_name("scenes.csv")
"""Written by ``python -m tools.choose_scenes``, after every change of weights, heads or advice."""


@dataclass(frozen=True)
class Scene:
    """A validation scene, which neither models nor heads have learned, and a click in it."""

    number: int
    """From 0, in the order of the data set."""
    x: int
    y: int
    """Pixel of the click, on an object."""
    advice: str
    """What ``tiny`` with the heads that ship advises after the click."""

    @cached_property
    def rgb(self) -> UInt8[np.ndarray, "size size 3"]:
        """Pixels."""
        return draw_scene(scene_seeds(SEED, "val", self.number + 1)[-1], SIZE_PX).rgb

    @cached_property
    def png(self) -> bytes:
        """The same as a file."""
        return png_bytes(self.rgb)


def read_scenes() -> tuple[Scene, ...]:
    """Scenes in the order of the page, which opens on the first."""
    with SCENES_FILE.open(encoding="utf-8", newline="") as file:
        return tuple(
            Scene(int(row["number"]), int(row["x"]), int(row["y"]), row["advice"])
            for row in csv.DictReader(file)
        )
