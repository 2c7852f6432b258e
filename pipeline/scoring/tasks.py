"""The four corrections that a measure should predict."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from pipeline.scoring.evidence import ModelScores
from pipeline.vocabulary import JUDGED, MODELS, PROTOCOLS, TASKS


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


JUDGED_BY_PROTOCOL: Final = tuple(
    (protocol, judged)
    for protocol in PROTOCOLS
    for judged in JUDGED
    if judged in {judged_proposal(protocol, task) for task in TASKS}
)
"""The proposals that each protocol judges in any task."""


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
