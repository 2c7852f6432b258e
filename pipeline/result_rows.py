"""The tables of results: a frozen class for each, whose fields are its columns in their order.

Writers, readers and the docs' table of columns follow from these classes. ``Annotated`` gives the
meaning of a column. A field that is a class of this file stands for that one's columns, and an
``Interval`` named ``<column>_interval`` for ``<column>_low`` and ``<column>_high``. Numbers are
fractions of 1 where no unit is named.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import numpy as np
from jaxtyping import Float, Int

FLOAT_FORMAT: Final = "%.8g"
"""Format of numbers: one digit more than single precision has."""

RUNTIME_FORMAT: Final = "%.6g"
"""Format of seconds and their ratios."""


@dataclass(frozen=True)
class Interval:
    """Ends of a 95 % interval; NaN where it does not exist."""

    low: float
    high: float


Bounds = Annotated[Interval, "95 % interval over images or videos"]
"""Ends of the interval of the column that is named before ``_interval``."""

BoundsOfDifference = Annotated[Interval, "95 % interval of the difference itself"]
"""Narrower than the intervals suggest: both measures see the same resamples."""

BoundsOfMedian = Annotated[Interval, "95 % interval of the median over the rounds"]

Protocol = Annotated[str, "whether the best or the selected masks are judged"]
TrainSplit = Annotated[str, "train split of the heads; empty without heads"]
Task = Annotated[str, "the correction: `model`, `prompt`, `task` or `segmentation`"]
Model = Annotated[str, "model of the judged masks"]
Measure = Annotated[str, "the measure"]
MeasureOrBound = Annotated[str, "the measure, or `oracle`, `worst` or `random`"]
Statistic = Annotated[str, "name of the statistic"]
Points = Float[np.ndarray, "point"]


@dataclass(frozen=True)
class AucRow:
    """How well one measure predicts the gains of one task."""

    protocol: Protocol
    train_split: TrainSplit
    tokens: Annotated[str, "tokens that the heads read; empty without heads"]
    task: Task
    model: Annotated[str, "model whose SamScores, entropies and tokens make the measure"]
    measure: Measure
    auc: Annotated[float, "area under the mean IoU, the most uncertain objects corrected first"]
    oracle: Annotated[float, "that area in the order of the true gain"]
    worst: Annotated[float, "that area in the reverse order"]
    relative: Annotated[float, "where `auc` lies between `worst` (0) and `oracle` (1)"]
    auc_interval: Bounds
    relative_interval: Bounds
    margin: Annotated[float, "`relative` minus that of 1 - SamScore, same task and model"]
    margin_interval: BoundsOfDifference
    tokens_margin: Annotated[
        float, "`relative` minus that of the same measure from the judged proposal's tokens"
    ]
    tokens_margin_interval: BoundsOfDifference


@dataclass(frozen=True)
class IouRow:
    """How good the masks of one model are in one view."""

    model: Model
    view: Annotated[str, "the view"]
    proposal: Annotated[
        str, "`best` or `selected` of one click; `refined`, `refined_selected` of eight"
    ]
    mean_iou: Annotated[float, "mean IoU"]
    mean_iou_interval: Bounds
    gain: Annotated[
        float, "mean IoU minus that of the mask, best or selected, of one click in the first view"
    ]
    gain_interval: BoundsOfDifference


@dataclass(frozen=True)
class Curve:
    """Mean IoU against the corrected fraction, most uncertain objects first."""

    protocol: Protocol
    train_split: TrainSplit
    task: Task
    model: Model
    measure: MeasureOrBound
    corrected_fraction: Annotated[Points, "share of the objects that is corrected"]
    mean_iou: Annotated[Points, "mean IoU then"]


@dataclass(frozen=True)
class CorrelationRow:
    """Pearson correlations of one measure, or of the true IoU, over the objects of one model.

    Measures that are 1 - a predicted IoU enter as that IoU.
    """

    protocol: Protocol
    train_split: TrainSplit
    model: Model
    row: Annotated[str, "`iou_gt` or a measure"]


@dataclass(frozen=True)
class StatisticRow:
    """One number of one measure."""

    protocol: Protocol
    train_split: TrainSplit
    model: Model
    measure: Measure
    statistic: Statistic
    iou_below: Annotated[float | None, "IoU below which masks fail; empty if it is not about that"]
    value: Annotated[float, "its value"]
    value_interval: Bounds


@dataclass(frozen=True)
class CoverageCurve:
    """Risk of the kept masks by their share, the least uncertain kept first."""

    protocol: Protocol
    train_split: TrainSplit
    model: Model
    measure: MeasureOrBound
    coverage: Annotated[Points, "share of the masks that is kept"]
    selective_risk: Annotated[Points, "mean 1 - IoU of the kept masks"]
    generalised_risk: Annotated[Points, "sum of 1 - IoU of the kept masks, by all masks"]


@dataclass(frozen=True)
class ReliabilityRow:
    """A bin of a reliability diagram; bins hold equal shares of the objects."""

    protocol: Protocol
    train_split: TrainSplit
    model: Model
    measure: Measure
    bin: Annotated[int, "from 0, by the predicted IoU"]
    predicted_iou: Annotated[float, "mean predicted IoU"]
    iou: Annotated[float, "mean true IoU"]
    iou_interval: Bounds


@dataclass(frozen=True)
class PromiseRow:
    """A promise by one measure, and what it keeps of the masks that it was calibrated on.

    Promises that keep nothing have no row.
    """

    protocol: Protocol
    train_split: TrainSplit
    model: Model
    measure: Measure
    promise: Annotated[str, "of `all` masks, or of the `kept` ones"]
    iou_at_least: Annotated[float, "a mask falls short below it"]
    alpha: Annotated[float, "share of the masks that may fall short"]
    kept: Annotated[float, "share of the masks that is kept"]


@dataclass(frozen=True)
class MaskSetRow:
    """Sets of proposals, calibrated on half of the images and checked on the others.

    Means over such halves. Targets that are out of reach have no row.
    """

    protocol: Annotated[str, "whose masks the heads learned from"]
    train_split: Annotated[
        str, "train split of the heads, or of the calibrated SamScore; empty without"
    ]
    model: Annotated[str, "model of the proposals"]
    measure: Annotated[str, "what predicts the IoU of each proposal"]
    iou_at_least: Annotated[float, "a proposal is good from there"]
    alpha: Annotated[float, "share of the sets that may have no good proposal"]
    coverage: Annotated[float, "share of the sets that have one"]
    n_masks: Annotated[float, "mean number of proposals in a set"]
    n_masks_interval: Bounds
    margin: Annotated[float, "`n_masks` minus that of sets by SamScore"]
    margin_interval: BoundsOfDifference


@dataclass(frozen=True)
class PixelRow:
    """How well the pixels of one model's masks agree with the ground truth."""

    protocol: Protocol
    model: Model
    region: Annotated[str, "`whole` mask, or the `band` around the true outline"]
    statistic: Statistic
    value: Annotated[float, "its value, NLL in nats"]
    value_interval: Bounds


@dataclass(frozen=True)
class RankingRow:
    """What the gallery chooses objects by; it does not change with the views."""

    protocol: Protocol
    judged: Annotated[str, "the judged proposal: `best` or `selected`"]
    object_id: Annotated[int, "id in the data set; of a video, it repeats from frame to frame"]
    model: Model
    iou: Annotated[float, "IoU of the judged mask"]
    best_iou: Annotated[float, "IoU of the best proposal of one click"]
    selected_iou: Annotated[float, "IoU of the selected proposal of one click"]
    refined_iou: Annotated[float, "IoU of the best proposal of eight clicks"]
    refined_selected_iou: Annotated[float, "IoU of the selected proposal of eight clicks"]


@dataclass(frozen=True)
class ObjectRow:
    """IoUs and measures of one object under one model, for a proposal that a protocol judges."""

    ranking: RankingRow
    group: Annotated[int, "its image or, where images are frames, its video"]
    sam_score: Annotated[float, "SamScore of the judged mask"]


@dataclass(frozen=True)
class GalleryRow:
    """A picture of the gallery."""

    protocol: Protocol
    task: Task
    end: Annotated[
        str,
        "whether the object is among the `most` or the `least` uncertain, or among those whose IoU "
        "says otherwise, `overrated` or `underrated`",
    ]
    rank: Annotated[int, "rank of the object, 1 the most uncertain of all"]
    object_id: Annotated[int, "id in the data set"]
    file: Annotated[str, "file of the image"]
    model: Model
    measure: Annotated[str, "the measure that ranks the objects"]
    train_split: TrainSplit
    uncertainty: Annotated[float, "value of the measure; larger is more uncertain"]
    iou: Annotated[float, "IoU of the judged mask"]
    corrected_iou: Annotated[float, "IoU after the correction"]
    picture: Annotated[str, "file of the picture, WebP"]


@dataclass(frozen=True)
class RuntimeSettings:
    """What seconds depend on."""

    family: Annotated[str, "family of the models"]
    weights: Annotated[str, "`trained` or `random`, which takes the same time"]
    heads: Annotated[str, "`random`; trained ones take the same time"]
    precision: Annotated[str, "precision of the models"]
    device: Annotated[str, "name of the processor or GPU"]
    torch_threads: Annotated[int, "threads of PyTorch"]
    image: Annotated[str, "`own` or `drawn scene`"]
    repeats: Annotated[int, "rounds"]


@dataclass(frozen=True)
class RuntimeRow:
    """How long one method takes for a click on this machine."""

    model: Annotated[str, "the model"]
    method: Annotated[str, "`sam` alone, or with what is computed besides"]
    seconds: Annotated[float, "median over the rounds"]
    seconds_interval: BoundsOfMedian
    ratio: Annotated[float, "seconds by those of the model alone in the same round, their median"]
    ratio_interval: BoundsOfMedian
    settings: RuntimeSettings


@dataclass(frozen=True)
class TrialRow:
    """A trial of hyperparameters, as in the paper's Table 8."""

    rank: Annotated[int, "1 is the best"]
    mse: Annotated[float, "mean squared error on held-out images"]
    batch_size: Annotated[int, "rows of a batch"]
    epochs: Annotated[int, "passes over the rows"]
    learning_rate: Annotated[float, "learning rate"]
    momentum: Annotated[float, "momentum"]


@dataclass(frozen=True)
class LearningCurve:
    """Errors of one head in each epoch, learning from 80 % of the images."""

    protocol: Annotated[str, "protocol whose targets the head learns"]
    tokens: Annotated[str, "tokens that it reads"]
    kind: Annotated[str, "kind of heads"]
    objective: Annotated[str, "what it learns"]
    epoch: Annotated[Int[np.ndarray, "point"], "from 1"]
    train_mse: Annotated[Points, "mean squared error, each row scored before it is learned from"]
    validation_mse: Annotated[Points, "mean squared error on the other images"]


@dataclass(frozen=True)
class Table:
    """A table of results: a CSV file."""

    row: type
    """Class of its rows or, if its fields are arrays, of blocks of rows."""
    more: str = ""
    """Columns of numbers that follow, which depend on what was evaluated."""
    number_format: str | None = FLOAT_FORMAT
    """None writes every digit that a number needs."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns, in their order, without those of ``more``."""
        return tuple(column.name for column in columns_of(self.row))


SPLIT_TABLES: Final[Mapping[str, Table]] = {
    "auc": Table(AucRow),
    "iou": Table(IouRow),
    "curves": Table(Curve),
    "correlation": Table(CorrelationRow, more="one for each `row`"),
    "statistics": Table(StatisticRow),
    "coverage": Table(CoverageCurve),
    "reliability": Table(ReliabilityRow),
    "promises": Table(PromiseRow),
    "mask_sets": Table(MaskSetRow),
    "pixels": Table(PixelRow),
    "objects": Table(
        ObjectRow,
        more="every other measure; of heads, named `<measure>@<train split>`",
    ),
}
"""Tables of an eval split by the name of their file, beside ``RANKING``."""

RANKING: Final = Table(RankingRow, more="the measures that rank the gallery")
GALLERY: Final = Table(GalleryRow)
RUNTIME: Final = Table(RuntimeRow, number_format=RUNTIME_FORMAT)
TRIALS: Final = Table(TrialRow, number_format=None)
LEARNING_CURVES: Final = Table(LearningCurve, number_format=None)


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    kind: type
    """``str``, ``int`` or ``float``."""
    meaning: str


@cache
def columns_of(row: type) -> tuple[Column, ...]:
    """Columns of a class of rows, in their order."""
    hints = get_type_hints(row, include_extras=True)
    return tuple(column for name, hint in hints.items() for column in _columns(name, hint))


def _columns(name: str, hint: Any) -> Iterator[Column]:  # noqa: ANN401 - any hint
    if get_origin(hint) is not Annotated:
        yield from columns_of(hint)
        return
    kind, meaning = get_args(hint)
    if kind is Interval:
        for end in ("low", "high"):
            yield Column(f"{name.removesuffix('interval')}{end}", float, meaning)
    else:
        yield Column(name, kind if kind in {str, int} else float, meaning)


def record(row: Any) -> dict[str, Any]:  # noqa: ANN401 - an instance of any of the classes
    """Values of a row, or of a block of rows, by column."""
    found: dict[str, Any] = {}
    for field in fields(row):
        value = getattr(row, field.name)
        if isinstance(value, Interval):
            start = field.name.removesuffix("interval")
            found |= {f"{start}low": value.low, f"{start}high": value.high}
        else:
            found |= record(value) if is_dataclass(value) else {field.name: value}
    return found
