"""Rows of the results: scores with their intervals, and points of curves.

Fields are the columns of the CSV files, in their order, and ``Annotated`` gives their meanings. A
number without a unit is a fraction of 1.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import nan
from typing import Annotated, Final, Literal

import numpy as np
from jaxtyping import Float

Protocol = Annotated[str, "whether the best or the selected masks are judged"]
TrainSplit = Annotated[str, "train split of the heads or the calibration; empty without"]
Task = Annotated[str, "the correction: `model`, `prompt`, `task` or `segmentation`"]
Model = Annotated[str, "model of the judged masks"]
Measure = Annotated[str, "the measure"]
MeasureOrBound = Annotated[str, "the measure, or `oracle`, `worst` or `random`"]
Points = Float[np.ndarray, "point"]


LEVEL: Final = 0.95
"""Level of all intervals, and of the verdicts that follow from them."""


@dataclass(frozen=True)
class Interval:
    """Ends of a 95 % interval; NaN if there is no interval."""

    low: float
    high: float


Bounds = Annotated[Interval, "95 % interval over images or videos"]
"""Interval of the number in the field before it."""

NO_INTERVAL: Final = Interval(nan, nan)


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
    statistic: Annotated[str, "name of the statistic"]
    value: Annotated[float, "its value"]
    interval: Bounds = NO_INTERVAL


@dataclass(frozen=True)
class Curve:
    """Mean IoU against the corrected fraction; the most uncertain objects are corrected first."""

    protocol: Protocol
    train_split: TrainSplit
    task: Task
    model: Model
    measure: MeasureOrBound
    corrected_fraction: Annotated[Points, "share of the objects that is corrected"]
    mean_iou: Annotated[Points, "mean IoU then"]


@dataclass(frozen=True)
class ReliabilityBin:
    """Mean predicted and mean true IoU of the masks in a bin of a reliability diagram.

    Bins are ordered by predicted IoU, and hold equal shares of the objects.
    """

    protocol: Protocol
    train_split: TrainSplit
    model: Model
    measure: Measure
    bin: Annotated[int, "from 0, by the predicted IoU"]
    predicted_iou: Annotated[float, "mean predicted IoU"]
    iou: Annotated[float, "mean true IoU"]
    iou_interval: Bounds
