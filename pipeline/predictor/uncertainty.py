"""The uncertainty of a prompt's three proposals: how wrong each may be, and why."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from torch import Tensor

from pipeline.entropy.mixture_plan import task_probability
from pipeline.entropy.mixtures import mask_entropy
from pipeline.extraction.iou import STABILITY_OFFSET
from pipeline.extraction.predictions import encode_logits
from pipeline.heads.kinds import CUT_OBJECTIVES
from pipeline.heads.scope import ChoiceGain
from pipeline.mask_choices import choose_masks, mask_set, offered_masks, selected_masks
from pipeline.masks import CUT, CUTS, decode
from pipeline.predictor import coco_masks
from pipeline.predictor.advice import Advice, Costs
from pipeline.predictor.judgement import Permission, decide
from pipeline.predictor.postprocessing import Postprocessing
from pipeline.predictor.proposal_heads import (
    ProposalHeads,
    predict_proposals,
    proposal_inputs,
    values_of,
)
from pipeline.proposals import Values
from pipeline.sam.model import Decoded
from pipeline.scoring.evidence import Predictions
from pipeline.vocabulary import N_PROPOSALS

LOGIT_BOUND: Final = 32
"""Largest absolute value of low-resolution logits that are returned, as in ``SAM2ImagePredictor``.
"""


def bounded(logits: Float[Tensor, "*batch y x"]) -> Float[Tensor, "*batch y x"]:
    """Clip logits to ``LOGIT_BOUND``, so that a later prompt can take them as ``mask_input``."""
    return logits.clamp(-LOGIT_BOUND, LOGIT_BOUND)


@dataclass(frozen=True)
class Choice:
    """A mask that may be taken: a proposal, cut at a foreground probability."""

    proposal: int
    """Index of the proposal, in decoder order."""
    cut: float
    """Foreground probability above which a pixel is in the mask."""
    mask: Bool[np.ndarray, "height width"]
    """The mask at the size of the image."""
    expected_iou: float | None
    """Expected IoU of the mask: that of the selected mask plus ``gain``, where a choice is offered.
    None without heads."""
    gain: float = 0.0
    """Expected gain in IoU over the selected mask, calibrated on held-out training images; 0 for
    the selected mask, and where no choice is offered."""

    def is_own_mask(self, proposal: int) -> bool:
        """Whether the mask is that of this proposal (an index) as SAM2 cuts it, at 0.5."""
        return (self.proposal, self.cut) == (proposal, CUT)

    def to_dict(self) -> dict[str, Any]:
        """``proposal``, ``cut``, ``expected_iou`` and ``gain``, not the mask's pixels, for JSON."""
        return {name: value for name, value in vars(self).items() if name != "mask"}


@dataclass(frozen=True)
class Uncertainty:
    """Three masks for one prompt, how wrong each may be, and the correction that is advised.

    The masks (proposals) are in the order of the decoder.
    """

    masks: Bool[np.ndarray, "proposal height width"]
    """Masks at the size of the image."""
    sam_score: Float32[np.ndarray, " proposal"]
    """IoU that the decoder predicts for each proposal."""
    logits: Float32[np.ndarray, "proposal y x"]
    """Low-resolution logits, as ``predict`` takes and returns them."""
    probability: Float32[np.ndarray, "proposal y x"]
    """Foreground probability at low resolution, rounded to the codes of the cache; of the image
    alone where ``logits`` are of a padded image, too."""
    stability: Float32[np.ndarray, " proposal"]
    """Stability score of each proposal: IoU of its masks cut at logits 1 and -1.

    It is SAM2's, at low resolution; 0 for a proposal without a logit above -1."""
    expected_iou: Any
    """IoUs that the heads predict, as ``HeadPredictions``: of each proposal, and of masks after
    each correction; None without heads. Where a choice is offered, ``own`` of a proposal is that of
    the selected one plus a calibrated gain. Of type Any, and so are ``gap`` and ``direct_gap``:
    with heads, which most callers have, none of the three is None."""
    h_std: Float64[np.ndarray, " proposal"]
    """H_Std: entropy of each mask, in bits."""
    h_a: float
    """H_A: entropy of the mean of the three masks, weighted by SamScore, in bits."""
    choice: Choice | None
    """The mask with the highest calibrated gain of the three proposals at nine cuts, the selected
    mask if no gain is above 0; ``masks`` stay SAM2's. None if no choice is offered:
    ``permission.no_choice`` says why."""
    advice: Advice
    """Advice about the selected proposal."""
    is_kept: bool | None
    """Whether a guarantee keeps the selected proposal. None if no guarantee holds for the prompt,
    or if the image is too unlike the training images of the heads."""
    mask_set: tuple[int, ...] | None
    """Indices of proposals that include a good one with a guaranteed probability, the highest
    expected IoU first. None as for ``is_kept``."""
    permission: Permission
    """Statements that the scopes of the heads and their guarantees allow."""
    caution: str
    """Why the heads may be wrong about this image or prompt; empty without a reason."""
    family: str
    model: str
    """Family and model of the masks."""

    @property
    def selected(self) -> int:
        """Index of the proposal with the highest SamScore."""
        return int(self.sam_score.argmax())

    @property
    def unlike_training(self) -> float | None:
        """Share of the heads' training images that are nearer to the others than this image is."""
        return self.permission.unlike_training

    @property
    def gap(self) -> Any:  # noqa: ANN401
        """Δ: gains as differences of two expected IoUs, by correction; None without heads."""
        return None if self.expected_iou is None else self.expected_iou.gaps

    @property
    def direct_gap(self) -> Any:  # noqa: ANN401
        """Δ*: gains as predicted by heads that learned the gain itself, likewise."""
        return None if self.expected_iou is None else self.expected_iou.direct_gaps

    def score_of(self, mask: Choice) -> float:
        """Expected IoU of a mask; without heads, SamScore times stability of its proposal."""
        if mask.expected_iou is not None:
            return mask.expected_iou
        return float(self.sam_score[mask.proposal] * self.stability[mask.proposal])

    def mask_of(self, proposal: int) -> Choice:
        """A proposal's own mask, as SAM2 cuts it, in the form of a choice."""
        if self.expected_iou is None:
            return Choice(proposal, CUT, self.masks[proposal], None)
        own_iou = float(self.expected_iou.own[proposal])
        gain = 0.0
        if self.choice is not None:
            gain = own_iou - float(self.expected_iou.own[self.selected])
        return Choice(proposal, CUT, self.masks[proposal], own_iou, gain)

    @property
    def best_mask(self) -> Choice:
        """The chosen mask (``choice``) or, where no choice is offered, the selected mask."""
        return self.choice or self.mask_of(self.selected)

    @property
    def pixel_entropy(self) -> Float32[np.ndarray, "proposal y x"]:
        """Entropy of each pixel in bits, at low resolution.

        Its mean, weighted by ``probability``, is ``h_std`` up to the rounding of ``probability``.
        """
        p = self.probability
        q = 1 - p
        # 0 log 0 counts as 0, because a pixel of probability 0 or 1 is sure.
        bits: Float32[np.ndarray, "proposal y x"] = -(
            p * np.log2(np.where(p > 0, p, 1)) + q * np.log2(np.where(q > 0, q, 1))
        )
        return bits

    def to_dict(self) -> dict[str, Any]:
        """Values for JSON: masks as COCO's RLE and polygons, no other array of pixels.

        The keys are those of ``prompt_values``, and ``proposals``: for each proposal, the entries
        of ``proposal_values`` with ``area_px``, ``segmentation`` (RLE) and ``polygons``. The choice
        has these three, too.
        """
        proposals = [
            {
                **self.proposal_values(k),
                **_mask_values(mask),
            }
            for k, mask in enumerate(self.masks)
        ]
        values = {**self.prompt_values(), "proposals": proposals}
        if self.choice is not None:
            values["choice"] |= _mask_values(self.choice.mask)
        return values

    def prompt_values(self) -> dict[str, Any]:
        """Values that concern all proposals of the prompt, for JSON; empty texts become None.

        The keys are ``family``, ``model``, ``selected``, ``choice``, ``no_choice``, ``advice``,
        ``is_kept``, ``mask_set``, ``unlike_training``, ``caution`` and ``h_a``.
        """
        return {
            "family": self.family,
            "model": self.model,
            "selected": self.selected,
            "choice": None if self.choice is None else self.choice.to_dict(),
            "no_choice": self.permission.no_choice or None,
            "advice": self.advice.to_dict(),
            "is_kept": self.is_kept,
            "mask_set": None if self.mask_set is None else list(self.mask_set),
            "unlike_training": self.unlike_training,
            "caution": self.caution or None,
            "h_a": self.h_a,
        }

    def proposal_values(self, proposal: int) -> dict[str, Any]:
        """Values of one proposal, for JSON.

        The keys are ``sam_score``, ``stability``, ``h_std``, ``expected_iou``, ``gap`` and
        ``direct_gap``.
        """
        return {
            "sam_score": float(self.sam_score[proposal]),
            "stability": float(self.stability[proposal]),
            "h_std": float(self.h_std[proposal]),
            **values_of(self.expected_iou, proposal),
        }


def read_uncertainty(
    decoded: Decoded,
    heads: ProposalHeads,
    *,
    size_px: tuple[int, int],
    costs: Costs,
    permissions: Sequence[Permission],
    postprocessing: Postprocessing,
) -> Iterator[Uncertainty]:
    """Yield the uncertainty of each prompt set of a decoder call, in their order.

    Full-size masks of many prompt sets at once would fill the memory. Entropies are computed from
    probabilities as the cache stores them, so that they equal those of the stage ``entropy``.

    Parameters
    ----------
    decoded
        Answer of the decoder to all prompt sets.
    size_px
        Height and width of the masks.
    permissions
        For each prompt set, the statements that are allowed about its masks.
    """
    sam_score = decoded.sam_score.cpu().numpy()
    predicted = predict_proposals(heads, proposal_inputs(heads, decoded), sam_score)
    figures = _figures(decoded, sam_score)
    for i, (logits, permission) in enumerate(zip(decoded.logits, permissions, strict=True)):
        rows = slice(N_PROPOSALS * i, N_PROPOSALS * (i + 1))
        of_prompt = {objective: values[rows] for objective, values in predicted.items()}
        claimed = expected = heads.named(of_prompt)
        masks = postprocessing.masks_at(logits[None], size_px, decoded.filled)[0]
        selected, choice = int(sam_score[i].argmax()), None
        if claimed is not None and permission.choice is not None:
            own = _calibrated(claimed.own, selected, permission.choice)
            expected = heads.named(of_prompt, own)
            at_cut = partial(postprocessing.mask_at_cut, size_px=size_px, filled=decoded.filled)
            choice = _choose(of_prompt, sam_score[i], permission.choice, logits, masks, at_cut)
        gain = choice.gain if choice else 0.0
        advice, is_kept = decide(expected, selected, costs, permission=permission, chosen_gain=gain)
        sets = permission.about_sets
        yield Uncertainty(
            masks=masks,
            sam_score=sam_score[i],
            expected_iou=expected,
            choice=choice,
            advice=advice,
            is_kept=is_kept,
            mask_set=mask_set(claimed.own, sets.threshold) if claimed and sets else None,
            permission=permission,
            caution="; ".join(filter(None, (*permission.cautions, postprocessing.caution))),
            family=heads.family,
            model=heads.model,
            **{name: array[i] for name, array in figures.items()},
        )


def _figures(decoded: Decoded, sam_score: Float32[np.ndarray, "prompt proposal"]) -> dict[str, Any]:
    """Arrays of low-resolution masks, a row for each prompt set, by fields of ``Uncertainty``."""
    on_image, logits = decoded.logits_on_image, bounded(decoded.logits).cpu().numpy()
    probability = decode(encode_logits(on_image).cpu().numpy())
    inside = logits if decoded.filled is None else on_image.cpu().numpy()
    inner = (inside > STABILITY_OFFSET).sum((2, 3))
    outer = (inside > -STABILITY_OFFSET).sum((2, 3))
    mixed = np.einsum("pk,pkyx->pyx", task_probability(sam_score), probability)
    return {
        "logits": logits,
        "probability": probability,
        "stability": (inner / outer.clip(min=1)).astype(np.float32),
        "h_std": mask_entropy(1 / (1 + np.exp(-inside.astype(np.float64)))),
        "h_a": mask_entropy(mixed.clip(0, 1)).tolist(),
    }


def _calibrated(own: Values, selected: int, calibration: ChoiceGain) -> Values:
    """Calibrate the expected IoUs of proposals beside the selected one as that of a choice.

    So no proposal states a higher IoU than the choice.
    """
    gain = calibration.gain_at(own - own[selected])
    gain[selected] = 0
    calibrated: Values = (own[selected] + gain).clip(0, 1)
    return calibrated


def _choose(
    predictions: Predictions,
    sam_score: Float32[np.ndarray, " proposal"],
    calibration: ChoiceGain,
    logits: Float[Tensor, "proposal y x"],
    masks: Bool[np.ndarray, "proposal height width"],
    at_cut: Callable[[Tensor, float], np.ndarray],
) -> Choice:
    """The mask with the highest calibrated gain of all proposals and cuts.

    It is the selected mask where no calibrated gain is above 0. ``at_cut`` cuts logits to a mask at
    another probability than ``CUT``.
    """
    at_cuts = [predictions[name] for name in CUT_OBJECTIVES]
    expected_iou = np.stack(at_cuts, axis=-1)[np.newaxis]
    selected = selected_masks(sam_score[np.newaxis])
    best = choose_masks(expected_iou)
    chosen, (gain,) = offered_masks(best, selected, expected_iou, calibration)
    (own_iou,) = selected.of(expected_iou)
    proposal, cut = int(chosen.proposal[0]), CUTS[int(chosen.cut[0])]
    mask = masks[proposal]
    if cut != CUT:
        mask = at_cut(logits[proposal], cut)
    gain = min(float(gain), 1 - float(own_iou))
    return Choice(proposal, cut, mask, float(own_iou) + gain, gain)


def _mask_values(mask: Bool[np.ndarray, "height width"]) -> dict[str, Any]:
    return {
        "area_px": int(mask.sum()),
        "segmentation": coco_masks.rle(mask),
        "polygons": coco_masks.polygons(mask),
    }
