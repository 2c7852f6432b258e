"""The list of all statistics in ``scores.csv``, each declared where it is computed."""

from collections.abc import Mapping
from typing import Final

from pipeline import better_masks, mask_sets
from pipeline.scoring import calibration, corrections, people, usefulness
from pipeline.scoring.scores import Statistic

GROUPS: Final[Mapping[str, tuple[Statistic, ...]]] = {
    "corrections": corrections.AUCS,
    "masks": corrections.MEAN_IOUS,
    "selective": usefulness.SELECTIVE,
    "calibration": calibration.CALIBRATION,
    "mask sets": mask_sets.SETS,
    "better masks": better_masks.BETTER_MASKS,
    "people": people.PEOPLE,
}
"""Statistics by group, in the order of tables."""

_OF_MEASURES: Final = ("protocol", "train_split", "model", "measure")

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "corrections": ("protocol", "train_split", "tokens", "seed", "task", "model", "measure"),
    "masks": ("model", "view", "proposal"),
    "selective": _OF_MEASURES,
    "calibration": _OF_MEASURES,
    "mask sets": (*_OF_MEASURES, "iou_at", "alpha"),
    "better masks": ("protocol", "train_split", "model", "choice"),
    "people": ("protocol", "train_split", "seed", "model", "measure", "choice"),
}
"""Columns of ``scores.csv`` that identify a score, by group."""

BY_NAME: Final[Mapping[str, Statistic]] = {
    statistic.name: statistic for group in GROUPS.values() for statistic in group
}
