"""Scores with their keys and intervals, and the declaration of a statistic.

``Keys`` are columns of ``scores.csv``, and ``Annotated`` gives their meanings. A number without a
unit is a fraction of 1.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

Protocol = Annotated[str, "whether the best or the selected masks are judged"]
TrainSplit = Annotated[str, "train split of the heads or the calibration; empty without"]
Task = Annotated[str, "the correction: `model`, `prompt`, `task` or `segmentation`"]
Model = Annotated[str, "model of the judged masks"]
Measure = Annotated[str, "the measure"]
MeasureOrBound = Annotated[str, "the measure, or `oracle`, `worst` or `random`"]


LEVEL: Final = 0.95
"""Level of all intervals, and of the verdicts that follow from them."""


@dataclass(frozen=True)
class Interval:
    """Ends of a 95 % interval; NaN if there is no interval."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Keys that identify a score; a key that does not apply is empty, or None for a number."""

    protocol: Protocol = ""
    train_split: TrainSplit = ""
    tokens: Annotated[str, "tokens that the heads read"] = ""
    seed: Annotated[int | None, "seed of the heads' training; empty for the first seed"] = None
    task: Task = ""
    model: Annotated[str, "model of the masks, and of the scores, entropies and tokens"] = ""
    view: Annotated[str, "the view"] = ""
    proposal: Annotated[
        str, "`best` or `selected` of one click; `refined`, `refined_selected` of eight"
    ] = ""
    measure: Measure = ""
    iou_at: Annotated[float | None, "a mask with a lower IoU fails"] = None
    alpha: Annotated[float | None, "share that a guarantee allows to fail"] = None
    choice: Annotated[str, "a mask of the object: `selected`, `choice`, ..."] = ""


@dataclass(frozen=True)
class Statistic:
    """Declares a statistic of ``scores.csv``, beside the function that computes it."""

    name: str
    symbol: str
    """Name of the statistic on the page and in docs."""
    meaning: str
    better: Literal["high", "low", ""] = "high"
    """Which values are good; empty if neither high nor low ones are."""
    unit: Literal["%", ""] = "%"
    """Unit in tables of the report."""


def names_of(statistics: Iterable[Statistic]) -> tuple[str, ...]:
    """Names of statistics, as in the column ``statistic``."""
    return tuple(statistic.name for statistic in statistics)


@dataclass(frozen=True)
class Score:
    """The value of a statistic, with the keys that identify it and its interval."""

    keys: Keys
    statistic: str
    value: float
    interval: Interval

    @property
    def row(self) -> dict[str, Any]:
        """The row of ``scores.csv``."""
        return {
            **vars(self.keys),
            "statistic": self.statistic,
            "value": self.value,
            **vars(self.interval),
        }
