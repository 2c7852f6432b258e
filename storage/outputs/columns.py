"""Columns of the tables of results, keys of the record of a run, and formats of numbers."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

OBJECT_COLUMNS: Final = (
    "protocol",
    "judged",
    "object_id",
    "model",
    "iou",
    "best_iou",
    "selected_iou",
    "refined_iou",
    "refined_selected_iou",
)
"""Which object, judged how, and the IoUs of its masks."""


MEASURE_COLUMNS: Final = ("protocol", "train_split", "model", "measure")
"""Which measure, and of which masks."""


COLUMNS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "auc": (
            "protocol",
            "train_split",
            "tokens",
            "task",
            "model",
            "measure",
            "auc",
            "oracle",
            "worst",
            "relative",
            "auc_low",
            "auc_high",
            "relative_low",
            "relative_high",
            "margin",
            "margin_low",
            "margin_high",
            "tokens_margin",
            "tokens_margin_low",
            "tokens_margin_high",
        ),
        "iou": (
            "model",
            "view",
            "proposal",
            "mean_iou",
            "mean_iou_low",
            "mean_iou_high",
            "gain",
            "gain_low",
            "gain_high",
        ),
        "curves": (
            "protocol",
            "train_split",
            "task",
            "model",
            "measure",
            "corrected_fraction",
            "mean_iou",
        ),
        "correlation": ("protocol", "train_split", "model", "row"),
        "statistics": (
            *MEASURE_COLUMNS,
            "statistic",
            "iou_below",
            "value",
            "value_low",
            "value_high",
        ),
        "coverage": (*MEASURE_COLUMNS, "coverage", "selective_risk", "generalised_risk"),
        "reliability": (*MEASURE_COLUMNS, "bin", "predicted_iou", "iou", "iou_low", "iou_high"),
        "promises": (
            *MEASURE_COLUMNS,
            "promise",
            "iou_at_least",
            "alpha",
            "kept",
        ),
        "pixels": (
            "protocol",
            "model",
            "region",
            "statistic",
            "value",
            "value_low",
            "value_high",
        ),
        "objects": (*OBJECT_COLUMNS, "group", "sam_score"),
        "ranking": OBJECT_COLUMNS,
    }
)
"""First columns of each table; after them, ``correlation`` has one column for each of its rows,
``objects`` and ``ranking`` one for each measure."""


RUNTIME_SETTINGS: Final = (
    "family",
    "weights",
    "heads",
    "precision",
    "device",
    "torch_threads",
    "image",
    "repeats",
)
"""What the seconds depend on."""


RUNTIME_COLUMNS: Final = ("model", "method", "seconds", "ratio", *RUNTIME_SETTINGS)
"""Columns of ``runtime.csv``; ``ratio`` is the seconds over those of SAM2 alone, and all rows have
the same settings."""


RUN_KEYS: Final = (
    "split",
    "n_objects",
    "n_groups",
    "n_resamples",
    "models",
    "entropy",
    "heads",
)
"""Keys of ``run.json``; ``models`` and ``entropy`` hold the signatures of features and entropies,
``heads`` the metadata of each train split's heads."""


FILES: Final = "files"
"""Key of ``run.json`` beside ``RUN_KEYS``: sha256 of each table's file."""


TEXT_COLUMNS: Final = dict.fromkeys(
    (
        "protocol",
        "judged",
        "train_split",
        "tokens",
        "task",
        "model",
        "measure",
        "row",
        "view",
        "proposal",
        "region",
        "statistic",
        "promise",
        "end",
        "file",
        "picture",
    ),
    "str",
)


FLOAT_FORMAT: Final = "%.8g"
"""One digit more than single precision has."""


RUNTIME_FORMAT: Final = "%.6g"
"""Format of seconds and their ratios."""
