"""Which correction to try for a mask that is not good enough."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

GOOD_IOU: Final = 0.7
"""Expected IoU from which a mask is kept, unless the caller names another."""

KEEP: Final = "keep"

CORRECTIONS: Final[Mapping[str, str]] = {
    KEEP: "keep the mask",
    "model": "take a larger model",
    "prompt": "click again",
    "task": "take another proposal",
    "segmentation": "let a person draw it",
}
"""What can be advised: to keep the mask, or the correction of one of the four tasks."""


@dataclass(frozen=True)
class Advice:
    """What to do with the selected mask."""

    correction: str
    """One of ``CORRECTIONS``."""
    gain: float
    """How much IoU it is expected to add."""
    expected_iou: float
    """IoU that is expected after it."""

    @property
    def words(self) -> str:
        """The correction in words."""
        return CORRECTIONS[self.correction]


def advise(own: float, expected: Mapping[str, float], *, good_iou: float = GOOD_IOU) -> Advice:
    """Choose what to do with a mask.

    Parameters
    ----------
    own
        IoU that is expected of the mask.
    expected
        IoU that is expected after each correction that is to be had.
    good_iou
        Expected IoU that is enough.

    Notes
    -----
    A person gives the true mask, so what promises most is always a person, who costs most, too.
    Hence the mask is kept where it is good enough, and else what promises most of the rest is
    advised, unless even that falls short.

    >>> advise(0.5, {"model": 0.6, "prompt": 0.85}).correction
    'prompt'
    >>> advise(0.5, {"model": 0.6, "prompt": 0.65}).correction
    'segmentation'
    """
    if own >= good_iou:
        return Advice(KEEP, 0.0, own)
    correction = max(expected, key=lambda name: expected[name], default=KEEP)
    reached = expected.get(correction, own)
    if reached < good_iou:
        correction, reached = "segmentation", 1.0
    return Advice(correction, reached - own, reached)
