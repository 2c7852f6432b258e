"""Columns of the CSV files of results: by name, or as the fields of a frozen class of rows.

Writers, readers and the docs' table of columns follow from them, and from the classes of
``pipeline.scoring.scores``. ``Annotated`` gives the meaning of a column. A field whose type is such
a class stands for the columns of that class. An ``Interval`` named ``<column>_interval`` stands for
``<column>_low`` and ``<column>_high``. Numbers without a unit are fractions of 1.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from operator import attrgetter
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import numpy as np
from jaxtyping import Int

from pipeline.scoring.scores import (
    Curve,
    Interval,
    Model,
    Points,
    Protocol,
    ReliabilityBin,
    Score,
    Task,
    TrainSplit,
)

FLOAT_FORMAT: Final = "%.8g"
"""Default number format of a CSV file: one digit more than single precision has."""

RUNTIME_FORMAT: Final = "%.6g"
"""Number format of seconds and their ratios in the CSV file of the stage ``runtime``."""

Columns = Mapping[str, Any]
"""Columns of a table by name, with their type and meaning, as in the hints of a row class."""

BoundsOfMedian = Annotated[Interval, "95 % interval of the median over the rounds"]


CORRELATION_COLUMNS: Final[Columns] = {
    "protocol": Protocol,
    "train_split": TrainSplit,
    "model": Model,
    "row": Annotated[str, "`iou_gt` or a measure"],
}
"""Further columns, one per measure, hold the correlations. A measure that is 1 - a predicted IoU
enters as the predicted IoU.
"""

RANKING_COLUMNS: Final[Columns] = {
    "protocol": Protocol,
    "judged": Annotated[str, "the judged proposal: `best` or `selected`"],
    "object_id": Annotated[int, "id in the data set; of a video, it repeats from frame to frame"],
    "model": Model,
    "iou": Annotated[float, "IoU of the judged mask"],
    "best_iou": Annotated[float, "IoU of the best proposal of one click"],
    "selected_iou": Annotated[float, "IoU of the selected proposal of one click"],
    "refined_iou": Annotated[float, "IoU of the best proposal of eight clicks"],
    "refined_selected_iou": Annotated[float, "IoU of the selected proposal of eight clicks"],
}
"""IoUs of one object under one model, by which the gallery chooses objects.

The masks are those of the unaugmented image (view ``identity``): evaluating more views of the
image changes no row.
"""

OBJECT_COLUMNS: Final[Columns] = {
    **RANKING_COLUMNS,
    "group": Annotated[int, "its image or, where images are frames, its video"],
    "sam_score": Annotated[float, "SamScore of the judged mask"],
}

ANNOTATION_COLUMNS: Final[Columns] = {
    "protocol": Annotated[str, "`selected`: the masks are selected without the annotation"],
    "rank": Annotated[int, "1 is the annotation to look at first"],
    "row": Annotated[int, "number of the object in its split, from 0"],
    "object_id": Annotated[int, "id in the data set; of a video, it repeats from frame to frame"],
    "file": Annotated[str, "file of the image"],
    "group": Annotated[int, "its image or, where images are frames, its video"],
    "prompt": Annotated[str, "prompt set of the selected masks, drawn from the annotation"],
    "doubt": Annotated[float, "mean over the models of expected IoU times 1 - IoU"],
    "expected_iou": Annotated[float, "IoU that is expected of the masks, mean over the models"],
    "iou": Annotated[float, "highest IoU of the masks with the annotation, mean over the models"],
    "best_iou": Annotated[float, "highest IoU with the annotation, of all models and masks"],
}

GALLERY_COLUMNS: Final[Columns] = {
    "protocol": Protocol,
    "task": Task,
    "end": Annotated[
        str,
        "whether the object is among the `most` or the `least` uncertain; `annotation`: its "
        "annotation is doubted most",
    ],
    "rank": Annotated[int, "rank of the object, 1 the most uncertain of all"],
    "object_id": Annotated[int, "id in the data set"],
    "file": Annotated[str, "file of the image"],
    "model": Model,
    "prompt": Annotated[str, "prompt set that the judged mask answers"],
    "measure": Annotated[str, "the measure that ranks the objects"],
    "train_split": TrainSplit,
    "uncertainty": Annotated[float, "value of the measure; larger is more uncertain"],
    "iou": Annotated[float, "IoU of the judged mask"],
    "corrected_iou": Annotated[float, "IoU after the correction"],
    "expected_iou": Annotated[float, "IoU that is expected of the masks; only for `annotation`"],
    "picture": Annotated[str, "file of the picture, WebP"],
}
"""One picture of the gallery: the object that it shows, and why the object was chosen."""


@dataclass(frozen=True)
class RuntimeSettings:
    """Settings and machine that all rows of a runtime measurement share."""

    family: Annotated[str, "family of the models"]
    weights: Annotated[str, "`trained` or `random`, which takes the same time"]
    heads: Annotated[str, "`random`; trained ones take the same time"]
    precision: Annotated[str, "precision of the models"]
    device: Annotated[str, "name of the processor or GPU"]
    torch_threads: Annotated[int, "threads of PyTorch"]
    image: Annotated[str, "`drawn scene`"]
    repeats: Annotated[int, "rounds"]


@dataclass(frozen=True)
class RuntimeRow:
    """Seconds of a click by one method with one model, and their ratio to the model alone."""

    model: Annotated[str, "the model"]
    method: Annotated[str, "`sam` alone, or with an entropy or heads"]
    seconds: Annotated[float, "median over the rounds"]
    seconds_interval: BoundsOfMedian
    ratio: Annotated[float, "seconds by those of the model alone in the same round, their median"]
    ratio_interval: BoundsOfMedian
    settings: RuntimeSettings


TRIAL_COLUMNS: Final[Columns] = {
    "rank": Annotated[int, "1 is the best"],
    "mse": Annotated[float, "mean squared error on held-out images"],
    "batch_size": Annotated[int, "rows of a batch"],
    "epochs": Annotated[int, "passes over the rows"],
    "learning_rate": Annotated[float, "learning rate"],
    "momentum": Annotated[float, "momentum"],
}
"""Hyperparameters that ``tune`` tried for a head, and their error (the paper's Table 8)."""


@dataclass(frozen=True)
class LearningCurve:
    """Errors of one head, trained with the first seed, in each epoch on 80 % of the images.

    A block of rows: ``epoch`` and the errors are arrays, other fields are the same in every row.
    """

    protocol: Annotated[str, "protocol whose targets the head learns"]
    tokens: Annotated[str, "tokens that it reads"]
    kind: Annotated[str, "kind of heads"]
    objective: Annotated[str, "objective of the head"]
    epoch: Annotated[Int[np.ndarray, "point"], "from 1"]
    train_mse: Annotated[Points, "mean squared error, each row scored before it is learned from"]
    validation_mse: Annotated[Points, "mean squared error on the other images"]


@dataclass(frozen=True)
class Table:
    """Declares a CSV file: its columns, further columns and the number format."""

    row: type | Columns
    """Columns, or the class of a row or, if the fields of the class are arrays, of a block."""
    meaning: str = ""
    """Sentence on a row; by default, the first line of the docstring of its class."""
    more: str = ""
    """Meaning of further numeric columns, whose names depend on what was evaluated."""
    number_format: str | None = FLOAT_FORMAT
    """Format of floats; None writes every digit that a number needs."""

    @cached_property
    def declared(self) -> "tuple[Column, ...]":
        """The declared columns, in their order; the columns of ``more`` are left out."""
        return columns_of(self.row)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the declared columns."""
        return tuple(column.name for column in self.declared)


SPLIT_TABLES: Final[Mapping[str, Table]] = {
    "scores": Table(Score),
    "curves": Table(Curve),
    "correlation": Table(
        CORRELATION_COLUMNS,
        "Pearson correlations of one measure, or of the true IoU, over the objects of one model.",
        more="one for each `row`",
    ),
    "reliability": Table(ReliabilityBin),
    "objects": Table(
        OBJECT_COLUMNS,
        "IoUs, SamScore and measures of one object under one model, for the judged proposal.",
        more="every measure, the larger the less certain: `uncertainty_<measure>`, of heads "
        "`uncertainty_<measure>@<train split>`",
    ),
    "annotations": Table(
        ANNOTATION_COLUMNS,
        "How much models doubt the annotation of one object; the most doubted come first.",
    ),
}
"""CSV files of an eval split by file name without ``.csv``; ``RANKING`` is not among them."""

RANKING: Final = Table(RANKING_COLUMNS, more="the measures that rank the gallery")
GALLERY: Final = Table(GALLERY_COLUMNS)
RUNTIME: Final = Table(RuntimeRow, number_format=RUNTIME_FORMAT)
TRIALS: Final = Table(TRIAL_COLUMNS, number_format=None)
LEARNING_CURVES: Final = Table(LearningCurve, number_format=None)


@dataclass(frozen=True)
class Column:
    """A column of a CSV file: its name, type and meaning."""

    name: str
    kind: type
    """Type of the column's values: ``str``, ``int`` or ``float``."""
    meaning: str
    path: str
    """Dotted path of attributes from a row to the column's value."""


def columns_of(row: type | Columns) -> tuple[Column, ...]:
    """Columns by name, or of the fields of a row class; see the docstring of this module."""
    hints = get_type_hints(row, include_extras=True) if isinstance(row, type) else row
    return tuple(column for name, hint in hints.items() for column in _columns(name, hint))


def _columns(name: str, hint: Any) -> Iterator[Column]:  # noqa: ANN401 - any hint
    if get_origin(hint) is not Annotated:
        yield from (replace(column, path=f"{name}.{column.path}") for column in columns_of(hint))
        return
    kind, meaning = get_args(hint)
    if kind is Interval:
        for end, which in (("low", "lower"), ("high", "upper")):
            column = name.removesuffix("interval") + end
            yield Column(column, float, f"{which} end of the {meaning}", f"{name}.{end}")
    else:
        yield Column(name, kind if kind in {str, int} else float, meaning, name)


def record(row: Any) -> dict[str, Any]:  # noqa: ANN401 - an instance of any of the classes
    """Convert a row, or a block of rows, to a mapping from column names to values."""
    row_class: type = type(row)
    names, read_values = _reader(row_class)
    return dict(zip(names, read_values(row), strict=True))


@cache  # a split has tens of thousands of scores
def _reader(row: type) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """Names of the columns of a row class, and a function that reads their values from a row."""
    columns = columns_of(row)
    return tuple(column.name for column in columns), attrgetter(*(c.path for c in columns))
