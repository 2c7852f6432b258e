"""The four corrections that a measure should predict, and its curves and correlations."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Float

from pipeline.auc import correction_curve
from pipeline.scoring.evidence import ModelScores, Values
from pipeline.scoring.measured import model_measures
from pipeline.scoring.measures import predicted_iou
from pipeline.vocabulary import MODELS, PROTOCOLS, TASKS

BOUNDS: Final = ("oracle", "worst", "random")
"""Curves beside those of the measures: by the true gain, by its reverse, and in random order."""

IOU_GT: Final = "iou_gt"
"""The true IoU of the judged mask, where it stands beside the measures."""


@dataclass(frozen=True)
class Correction:
    """IoU of every object before and after one kind of correction."""

    iou: Float[np.ndarray, "object"]
    corrected_iou: Float[np.ndarray, "object"]

    @property
    def gain(self) -> Float[np.ndarray, "object"]:
        """What the correction adds, in double precision."""
        gain: Float[np.ndarray, "object"] = np.subtract(
            self.corrected_iou, self.iou, dtype=np.float64
        )
        return gain


@dataclass(frozen=True)
class Curve:
    """Mean IoU against the corrected fraction, most uncertain objects first."""

    protocol: str
    train_split: str
    task: str
    model: str
    measure: str
    """A measure or one of ``BOUNDS``."""
    corrected_fraction: Float[np.ndarray, "point"]
    mean_iou: Float[np.ndarray, "point"]


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


REFINED: Final = {"best": "refined", "selected": "refined_selected"}
"""The judged mask of eight clicks by protocol, as ``ProposalScores.by_proposal`` names it."""

Ious = Mapping[str, Mapping[str, Float[np.ndarray, "object"]]]
"""By model: IoU of every object's mask, as ``ProposalScores.by_proposal`` gives it."""


def ious_of(models: Mapping[str, ModelScores]) -> Ious:
    """IoU of every model's judged masks."""
    return {model: scores.proposals.by_proposal() for model, scores in models.items()}


def judged_proposal(protocol: str, task: str) -> str:
    """The proposal whose mask counts before the correction.

    Its SamScore, entropies and tokens are what the measures are computed from. The selected one in
    the task *task*, which corrects the selection, and wherever no ground truth may be known.
    """
    return "selected" if task == "task" else protocol


def corrections(ious: Ious, model: str, protocol: str) -> dict[str, Correction]:
    """What each task corrects for one model; the model task only where tiny and large are given.

    Notes
    -----
    Model: tiny to large. Prompt: ``center`` to ``refined``. Task: selected to best. Segmentation:
    the model's mask to the truth. Masks are the protocol's own, best or selected, except in
    the task correction.
    """
    own, refined = ious[model][protocol], ious[model][REFINED[protocol]]
    tasks = {
        "prompt": Correction(own, refined),
        "task": Correction(ious[model]["selected"], ious[model]["best"]),
        "segmentation": Correction(own, np.ones_like(own)),
    }
    if {"tiny", "large"} <= set(ious):
        return {"model": Correction(ious["tiny"][protocol], ious["large"][protocol])} | tasks
    return tasks


def default_corrections(ious: Ious, protocol: str) -> Iterator[tuple[str, str, Correction]]:
    """Each task that the models allow, its default model, and what it corrects for that."""
    for task in TASKS:
        model = default_model(task, tuple(ious))
        correction = corrections(ious, model, protocol).get(task)
        if correction is not None:
            yield task, model, correction


def default_model(task: str, models: tuple[str, ...]) -> str:
    """The model whose measures the paper's table of a task shows.

    Tiny, the one that would be corrected, or else the smallest; for segmentation large, or else
    the largest.
    """
    by_size = [model for model in MODELS if model in models]
    return by_size[-1] if task == "segmentation" else by_size[0]


def curves(models: Mapping[str, ModelScores], n_points: int) -> Iterator[Curve]:
    """Curves of the bounds and of every measure of each task's default model, by protocol."""
    for protocol in PROTOCOLS:
        for task, model, correction in default_corrections(ious_of(models), protocol):
            judged = judged_proposal(protocol, task)
            measures = _bounds(correction) | model_measures(
                models[model], model, protocol=protocol, judged=judged
            )
            for (train_split, measure), uncertainty in measures.items():
                fraction, mean_iou = correction_curve(
                    correction.iou, correction.corrected_iou, uncertainty, n_points=n_points
                )
                yield Curve(protocol, train_split, task, model, measure, fraction, mean_iou)


def correlations(models: Mapping[str, ModelScores]) -> Iterator[Correlation]:
    """Correlations of the true IoU and every measure, by protocol, model and train split."""
    for protocol in PROTOCOLS:
        for model, scores in models.items():
            measures = model_measures(scores, model, protocol=protocol, judged=protocol)
            iou = scores.proposals.judged_iou(protocol).astype(np.float64)
            for train_split in _train_splits(measures):
                columns = {IOU_GT: iou} | {
                    name: predicted_iou(name, value)
                    for (trained_on, name), value in measures.items()
                    if trained_on in {"", train_split}
                }
                yield Correlation(protocol, train_split, model, pd.DataFrame(columns).corr())


def _train_splits(measures: Mapping[tuple[str, str], Values]) -> list[str]:
    """Train splits of the heads among some measures; an unnamed one where there are none."""
    return list(dict.fromkeys(name for name, _ in measures if name)) or [""]


def _bounds(correction: Correction) -> dict[tuple[str, str], Float[np.ndarray, "object"]]:
    gain = correction.gain
    return {("", "oracle"): gain, ("", "worst"): -gain, ("", "random"): np.zeros_like(gain)}
