"""What to do with a mask: the correction that is expected to gain most beyond its cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipeline.decisions import choose

KEEP: Final = "keep"

NONE: Final = "none"
"""The correction of advice that is withheld."""

CORRECTIONS: Final[Mapping[str, str]] = {
    KEEP: "keep the mask",
    "model": "take a larger model",
    "prompt": "click again",
    "task": "take another proposal",
    "segmentation": "let a person draw it",
}
"""What can be advised: to keep the mask, or the correction of one of the four tasks."""


@dataclass(frozen=True)
class Costs:
    """What corrections cost, in IoU: less gain than that is not worth it.

    Another proposal is there already and costs nothing. A cost of 1 is never worth it. By default,
    this rules out clicking again, which was not shown to beat the best choice for all objects, and
    the large model, which made the advice of the mini models no better (docs/predict.md).

    Raises
    ------
    ValueError
        If a cost is not from 0 to 1.
    """

    click: float = 1.0
    """To click again, up to eight clicks."""
    larger_model: float = 1.0
    """To ask the large model."""
    person: float = 0.3
    """To have a person draw the mask."""

    def __post_init__(self) -> None:
        for name, cost in vars(self).items():
            if not 0 <= cost <= 1:
                raise ValueError(
                    f"cost of {name.replace('_', ' ')} must be a number from 0 to 1, got {cost:g}"
                )

    @property
    def by_correction(self) -> dict[str, float]:
        """Cost of each of ``CORRECTIONS``."""
        own = {"model": self.larger_model, "prompt": self.click, "segmentation": self.person}
        return {name: own.get(name, 0.0) for name in CORRECTIONS}


@dataclass(frozen=True)
class Advice:
    """What to do with the selected mask."""

    correction: str
    """One of ``CORRECTIONS``, or ``NONE`` where advice is withheld."""
    gain: float
    """How much IoU it is expected to add, its cost aside."""
    expected_iou: float
    """IoU that is expected after it."""
    gains: Mapping[str, float]
    """The same of each correction that is possible, whatever it costs."""

    @property
    def words(self) -> str:
        """The correction in words."""
        return CORRECTIONS.get(self.correction, "no advice")

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {"words": self.words, **vars(self)}


def advise(own: float, gains: Mapping[str, float], costs: Costs) -> Advice:
    """Choose what to do with a mask.

    Parameters
    ----------
    own
        IoU that is expected of the mask.
    gains
        IoU that each correction is expected to add, a person's aside, who gives the true mask.

    Notes
    -----
    No correction makes a mask better than the true one: its gain counts up to there.

    >>> advise(0.5, {"model": 0.1, "prompt": 0.3}, Costs(click=0.05)).correction
    'prompt'
    >>> advise(0.5, {"model": 0.1, "prompt": 0.3}, Costs()).correction
    'segmentation'
    """
    reachable = {name: min(gain, 1 - own) for name, gain in gains.items()}
    by_choice = {KEEP: 0.0, **reachable, "segmentation": 1 - own}
    # Of corrections that tie, the one that CORRECTIONS has first.
    names = [name for name in CORRECTIONS if name in by_choice]
    expected = np.array([[by_choice[name] for name in names]])
    (number,) = choose(expected, np.array([costs.by_correction[name] for name in names]))
    correction, gain = names[number], by_choice[names[number]]
    offered = {name: by_choice[name] for name in names if name != KEEP}
    return Advice(correction, gain, own + gain, offered)
