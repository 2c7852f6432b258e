"""The warning for images unlike those that the mini models know."""

from typing import Final

import numpy as np

from pipeline.predictor.demo_scenes import is_demo_scene
from storage.head_files.head_file import SHIPPED_FAMILY

DRAWN_ONLY: Final = "the mini models know drawn shapes only"

COMMANDS: Final = (
    "usam checkpoints fetch sam2.1 --model tiny",
    "usam heads fetch sam2.1",
    "usam demo --family sam2.1",
)
"""Commands that bring models trained on photographs."""

NOTE: Final = f"note: {DRAWN_ONLY}; for photographs run {' && '.join(COMMANDS)}"


def photograph_note(family: str, rgb: np.ndarray) -> str | None:
    """The line about an image that is none of the demo's scenes; None for other families."""
    return NOTE if family == SHIPPED_FAMILY and not is_demo_scene(rgb) else None
