"""The list of all statistics in ``scores.csv``, each declared where it is computed."""

from collections.abc import Mapping
from typing import Final

from pipeline import better_masks, mask_sets, risk_control
from pipeline.scoring import calibration, corrections, usefulness
from pipeline.scoring.scores import Statistic

GROUPS: Final[Mapping[str, tuple[Statistic, ...]]] = {
    "corrections": corrections.AUCS,
    "masks": corrections.MEAN_IOUS,
    "selective": usefulness.SELECTIVE,
    "calibration": calibration.CALIBRATION,
    "guarantees": risk_control.KEPT,
    "mask sets": mask_sets.SETS,
    "better masks": better_masks.BETTER_MASKS,
}
"""Statistics by group, in the order of tables."""

_OF_MEASURES: Final = ("protocol", "train_split", "model", "measure")
_OF_GUARANTEES: Final = (*_OF_MEASURES, "guarantee", "iou_at", "alpha")

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "corrections": ("protocol", "train_split", "tokens", "seed", "task", "model", "measure"),
    "masks": ("model", "view", "proposal"),
    "selective": _OF_MEASURES,
    "calibration": _OF_MEASURES,
    "guarantees": _OF_GUARANTEES,
    "mask sets": _OF_GUARANTEES,
    "better masks": ("protocol", "train_split", "model", "choice"),
}
"""Columns of ``scores.csv`` that identify a score, by group."""

BY_NAME: Final[Mapping[str, Statistic]] = {
    statistic.name: statistic for group in GROUPS.values() for statistic in group
}
