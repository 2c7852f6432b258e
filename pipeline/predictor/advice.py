"""Advises the correction of a mask that is expected to gain most IoU beyond its cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

KEEP: Final = "keep"

NONE: Final = "none"
"""Value of ``Advice.correction`` if no advice may be given."""

CORRECTIONS: Final[Mapping[str, str]] = {
    KEEP: "keep the mask",
    "model": "take a larger model",
    "prompt": "click again",
    "task": "take the chosen mask",
    "segmentation": "let a person draw it",
}
"""Words for all advice: keep the mask, or the correction of one of the four tasks."""


@dataclass(frozen=True)
class Costs:
    """Costs of corrections, in IoU: a correction that gains less than its cost is not advised.

    A correction of cost 1 is never advised. By default, two corrections cost 1: clicking again,
    because that advice was not shown to beat the best choice for all objects, and the large model,
    because that advice did not help the mini models (docs/predict.md). The chosen mask costs
    nothing.

    Raises
    ------
    ValueError
        If a cost is not from 0 to 1.
    """

    click: float = 1.0
    """Cost of clicking again, up to eight clicks."""
    larger_model: float = 1.0
    """Cost of asking the large model."""
    person: float = 0.3
    """Cost of a person who draws the mask."""

    def __post_init__(self) -> None:
        for name, cost in vars(self).items():
            if not 0 <= cost <= 1:
                raise ValueError(
                    f"cost of {name.replace('_', ' ')} must be a number from 0 to 1, got {cost:g}"
                )

    @property
    def by_correction(self) -> dict[str, float]:
        """Cost in IoU of each of ``CORRECTIONS``; 0 for keeping the mask and for the chosen one."""
        return {
            KEEP: 0.0,
            "model": self.larger_model,
            "prompt": self.click,
            "task": 0.0,
            "segmentation": self.person,
        }


@dataclass(frozen=True)
class Advice:
    """The correction that is advised for a mask, and the expected IoU gain of each correction."""

    correction: str
    """One of ``CORRECTIONS``, or ``NONE`` if no advice may be given."""
    gain: float
    """IoU that the correction is expected to add, without its cost."""
    expected_iou: float | None
    """Expected IoU after the correction; None without heads."""
    gains: Mapping[str, float]
    """Expected gain in IoU of each possible correction, without its cost."""
    holds_for: str = ""
    """Contents of the images for which such advice was shown to hold, such as drawn shapes; empty
    if the heads' images are unknown, or if there is no advice."""

    @property
    def words(self) -> str:
        """The advised correction in words, with the images for which it holds; else "no advice".

        >>> Advice("prompt", 0.1, 0.9, {"prompt": 0.1}, holds_for="drawn shapes").words
        'click again (for drawn shapes)'
        """
        mark = f" (for {self.holds_for})" if self.holds_for else ""
        return CORRECTIONS.get(self.correction, "no advice") + mark

    def to_dict(self) -> dict[str, Any]:
        """All fields, and the advised correction in words, for JSON."""
        return {"words": self.words, **vars(self)}


def advise(own_iou: float, gains: Mapping[str, float], costs: Costs) -> Advice:
    """Choose the correction of a mask that is expected to gain most beyond its cost.

    Gains are limited to ``1 - own_iou``: no mask is better than the true mask, which a person
    draws.

    >>> advise(0.5, {"model": 0.1, "prompt": 0.3}, Costs(click=0.05)).correction
    'prompt'
    >>> advise(0.5, {"model": 0.1, "prompt": 0.3}, Costs()).correction
    'segmentation'

    Parameters
    ----------
    own_iou
        Expected IoU of the mask.
    gains
        IoU that each possible correction is expected to add: ``model``, ``prompt`` or ``task``.
    """
    possible = {KEEP: 0.0, **gains, "segmentation": 1 - own_iou}
    names = [name for name in CORRECTIONS if name in possible]
    reachable = {name: min(possible[name], 1 - own_iou) for name in names}
    cost_of = costs.by_correction
    # Of equally good corrections, the first in CORRECTIONS is advised.
    correction = max(reachable, key=lambda name: reachable[name] - cost_of[name])
    gain = reachable[correction]
    del reachable[KEEP]
    return Advice(correction, gain, own_iou + gain, reachable)
