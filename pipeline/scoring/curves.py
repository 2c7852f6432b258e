"""Curves of measures, and their correlations."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Float

from pipeline.auc import correction_curve
from pipeline.result_rows import Curve
from pipeline.scoring.evidence import Values
from pipeline.scoring.measured import JudgedMasks
from pipeline.scoring.measures import predicted_iou
from pipeline.scoring.tasks import Correction, Ious, default_corrections, judged_proposal
from pipeline.vocabulary import PROTOCOLS

BOUNDS: Final = ("oracle", "worst", "random")
"""Curves beside those of the measures: by the true gain, by its reverse, and in random order."""

IOU_GT: Final = "iou_gt"
"""The true IoU of the judged mask, where it stands beside the measures."""


@dataclass(frozen=True)
class Correlation:
    """Pearson correlations over the objects of one model."""

    protocol: str
    """The judged proposal is its own: the best or the selected one."""
    train_split: str
    """Train split of the heads; empty without heads."""
    model: str
    pearson: pd.DataFrame
    """Rows and columns: ``iou_gt``, then the measures; those that are 1 - a predicted IoU enter as
    that IoU. NaN for a constant, as everything is over one object."""


def curves(ious: Ious, masks: Sequence[JudgedMasks], n_points: int) -> Iterator[Curve]:
    """Curves of the bounds and of every measure of each task's default model, by protocol."""
    by_place = {(one.protocol, one.judged, one.model): one for one in masks}
    for protocol in PROTOCOLS:
        for task, model, correction in default_corrections(ious, protocol):
            judged = judged_proposal(protocol, task)
            measures = _bounds(correction) | dict(by_place[protocol, judged, model].measures)
            for (train_split, measure), uncertainty in measures.items():
                fraction, mean_iou = correction_curve(
                    correction.iou, correction.corrected_iou, uncertainty, n_points=n_points
                )
                yield Curve(protocol, train_split, task, model, measure, fraction, mean_iou)


def correlations(masks: Iterable[JudgedMasks]) -> Iterator[Correlation]:
    """Correlations of the true IoU and every measure, by masks and train split."""
    for one in masks:
        measures = one.measures
        for train_split in _train_splits(measures):
            columns = {IOU_GT: one.iou} | {
                name: predicted_iou(name, value)
                for (trained_on, name), value in measures.items()
                if trained_on in {"", train_split}
            }
            pearson = pd.DataFrame(columns).corr()
            yield Correlation(one.protocol, train_split, one.model, pearson)


def _train_splits(measures: Mapping[tuple[str, str], Values]) -> list[str]:
    """Train splits of the heads among some measures; an unnamed one where there are none."""
    return list(dict.fromkeys(name for name, _ in measures if name)) or [""]


def _bounds(correction: Correction) -> dict[tuple[str, str], Float[np.ndarray, "object"]]:
    gain = correction.gain
    return {("", "oracle"): gain, ("", "worst"): -gain, ("", "random"): np.zeros_like(gain)}
