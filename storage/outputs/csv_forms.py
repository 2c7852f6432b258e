"""Columns of the CSV files of results: by name, with their type and meaning.

Writers, readers and the docs' table of columns follow from them, and from the keys of scores in
``pipeline.scoring.scores``. Numbers without a unit are fractions of 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final, get_args, get_type_hints

from pipeline.scoring.scores import Keys, Measure, MeasureOrBound, Model, Protocol, Task, TrainSplit

FLOAT_FORMAT: Final = "%.8g"
"""Default number format of a CSV file: one digit more than single precision has."""

RUNTIME_FORMAT: Final = "%.6g"
"""Number format of seconds and their ratios in the CSV file of the stage ``runtime``."""

Columns = Mapping[str, Any]
"""Columns of a table by name; ``Annotated`` gives the type and the meaning of each."""


def _bounds(number: str, interval: str = "95 % interval over images or videos") -> Columns:
    """Columns for the ends of the interval of the column ``number``."""
    return {
        f"{number}low": Annotated[float, f"lower end of the {interval}"],
        f"{number}high": Annotated[float, f"upper end of the {interval}"],
    }


SCORE_COLUMNS: Final[Columns] = {
    **get_type_hints(Keys, include_extras=True),
    "statistic": Annotated[str, "name of the statistic"],
    "value": Annotated[float, "its value"],
    **_bounds(""),
}

CURVE_COLUMNS: Final[Columns] = {
    "protocol": Protocol,
    "train_split": TrainSplit,
    "task": Task,
    "model": Model,
    "measure": MeasureOrBound,
    "corrected_fraction": Annotated[float, "share of the objects that is corrected"],
    "mean_iou": Annotated[float, "mean IoU then"],
}

RELIABILITY_COLUMNS: Final[Columns] = {
    "protocol": Protocol,
    "train_split": TrainSplit,
    "model": Model,
    "measure": Measure,
    "bin": Annotated[int, "from 0, by the predicted IoU; bins hold equal shares of the objects"],
    "predicted_iou": Annotated[float, "mean predicted IoU"],
    "iou": Annotated[float, "mean true IoU"],
    **_bounds("iou_"),
}

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


_OVER_ROUNDS: Final = "95 % interval of the median over the rounds"

RUNTIME_COLUMNS: Final[Columns] = {
    "model": Annotated[str, "the model"],
    "method": Annotated[str, "`sam` alone, or with an entropy or heads"],
    "seconds": Annotated[float, "median over the rounds"],
    **_bounds("seconds_", _OVER_ROUNDS),
    "ratio": Annotated[
        float, "seconds by those of the model alone in the same round, their median"
    ],
    **_bounds("ratio_", _OVER_ROUNDS),
    "family": Annotated[str, "family of the models"],
    "weights": Annotated[str, "`trained` or `random`, which takes the same time"],
    "heads": Annotated[str, "`random`; trained ones take the same time"],
    "precision": Annotated[str, "precision of the models"],
    "device": Annotated[str, "name of the processor or GPU"],
    "torch_threads": Annotated[int, "threads of PyTorch"],
    "image": Annotated[str, "`drawn scene`"],
    "repeats": Annotated[int, "rounds"],
}
"""Seconds of a click by one method with one model, and their ratio to the model alone; then the
settings and the machine, which are the same in all rows."""

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
class Column:
    """A column of a CSV file: its name, type and meaning."""

    name: str
    kind: type
    """Type of the column's values: ``str``, ``int`` or ``float``."""
    meaning: str


@dataclass(frozen=True)
class Table:
    """Declares a CSV file: its columns, further columns and the number format."""

    hints: Columns
    meaning: str = ""
    """Sentence on a row."""
    more: str = ""
    """Meaning of further numeric columns, whose names depend on what was evaluated."""
    number_format: str | None = FLOAT_FORMAT
    """Format of floats; None writes every digit that a number needs."""

    @cached_property
    def declared(self) -> tuple[Column, ...]:
        """The declared columns, in their order; the columns of ``more`` are left out."""
        hints = {name: get_args(hint) for name, hint in self.hints.items()}
        return tuple(
            Column(name, kind if kind in {str, int} else float, meaning)
            for name, (kind, meaning) in hints.items()
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the declared columns."""
        return tuple(column.name for column in self.declared)


SPLIT_TABLES: Final[Mapping[str, Table]] = {
    "scores": Table(
        SCORE_COLUMNS,
        "The value of a statistic, with the keys that identify it and its interval.",
    ),
    "curves": Table(CURVE_COLUMNS),
    "correlation": Table(
        CORRELATION_COLUMNS,
        "Pearson correlations of one measure, or of the true IoU, over the objects of one model.",
        more="one for each `row`",
    ),
    "reliability": Table(RELIABILITY_COLUMNS),
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
RUNTIME: Final = Table(RUNTIME_COLUMNS, number_format=RUNTIME_FORMAT)
TRIALS: Final = Table(TRIAL_COLUMNS, number_format=None)
