"""How wrong the masks of a prompt may be, and why: heads applied to every proposal, and read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from torch import Tensor

from pipeline.entropy.mixtures import mask_entropy
from pipeline.entropy.plan import task_probability
from pipeline.extraction.predictions import arrays_for_heads, encode_logits
from pipeline.heads.kinds import KINDS_BY_NAME, HeadSet
from pipeline.heads.predict import HeadWeights, check_head, inputs_of_proposals, predict
from pipeline.mask_sets import mask_set
from pipeline.masks import decode
from pipeline.predictor import coco_masks
from pipeline.predictor.advice import NONE, Advice, Costs, advise
from pipeline.predictor.colours import UNLIKE, TrainingColours
from pipeline.predictor.encoded_image import Rgb
from pipeline.predictor.prompt_sets import check_finite
from pipeline.proposals import ProposalScores
from pipeline.sam.model import Decoded
from pipeline.scenes.scene import is_demo_scene
from pipeline.scoring.evidence import Evidence, ModelScores
from pipeline.scoring.measures import BY_NAME
from pipeline.upsampling import masks_at_image
from pipeline.vocabulary import TRAIN_PROMPTS

ByProposal = Float64[np.ndarray, " proposal"]
"""A number for each proposal, in decoder order."""


@dataclass(frozen=True)
class ProposalHeads:
    """One head set, and the model whose proposals it is to judge.

    Raises
    ------
    ValueError
        If the model is unknown, or a head is missing, is no MLP, or holds NaN or infinity.
    """

    model: str
    models: tuple[str, ...]
    """Those that the heads know, from small to large."""
    head_set: HeadSet
    weights: Mapping[str, HeadWeights]
    """By objective."""
    first_mask_token: int = 1
    """Mask token of proposal 0; the heads that the paper's authors publish pair it with 0."""
    least_iou: float | None = None
    """Expected IoU from which a calibrated promise lets the selected mask be kept; None without."""
    least_doubt: float | None = None
    """Doubt from which a calibrated promise takes proposals into a mask set; None without."""
    prompts: tuple[str, ...] = TRAIN_PROMPTS[:1]
    """Prompt sets that they learned from."""
    image_caution: str = ""
    """Why they may be wrong about any image but the demo's scenes."""
    colours: TrainingColours | None = None
    """Those of the images that they learned from, if their card has them."""

    def __post_init__(self) -> None:
        """Check that there is all that predictions need."""
        if self.model not in self.models:
            raise ValueError(f"model must be one of {', '.join(self.models)}, got {self.model!r}")
        needed = self.head_set.objectives(self.models)
        missing = [name for name in needed if name not in self.weights]
        if missing:
            raise ValueError(f"heads of {self.head_set} must have {missing[0]}, got none")
        for objective, head in self.weights.items():
            check_head(objective, head)
            for tensor in head.values():
                check_finite(f"weights of head {objective}", tensor)

    def image_facts(self, rgb: Rgb, colours: Float64[np.ndarray, " descriptor"]) -> "ImageFacts":
        """What is known of an image without any prompt.

        Parameters
        ----------
        colours
            As ``describe_colours`` has them.
        """
        known = self.image_caution if self.image_caution and not is_demo_scene(rgb) else ""
        share = None if self.colours is None else self.colours.share_nearer(colours)
        return ImageFacts(known, share)


@dataclass(frozen=True)
class ImageFacts:
    """Why heads may be wrong about an image."""

    known_caution: str
    """Empty if its colours are the only reason."""
    unlike_training: float | None
    """Share of the held-out training images that are nearer to the others by their colours; None
    if the heads do not know."""

    @property
    def is_unlike(self) -> bool:
        """Whether it is further than nearly all that the heads learned from."""
        return self.unlike_training is not None and self.unlike_training > UNLIKE

    @property
    def caution(self) -> str:
        """Why the heads may be wrong about it; empty if nothing is known against it."""
        if not self.is_unlike:
            return self.known_caution
        share = "all" if self.unlike_training == 1 else f"{self.unlike_training:.1%}"
        unlike = f"the image is unlike what these heads learned from (further than {share} of it)"
        return "; ".join(filter(None, (unlike, self.known_caution)))


@dataclass(frozen=True)
class ExpectedIou:
    """IoUs that the heads expect, from the tokens of each proposal.

    That of ``own`` is about the proposal itself; the others are about what another model or
    prompt would give for the same object.
    """

    own: ByProposal
    """USAM: IoU of the proposal."""
    models: Mapping[str, ByProposal]
    """IoU of each model's mask, from small to large."""
    refined: ByProposal
    """IoU after eight clicks instead of one."""
    best: ByProposal
    """IoU of the best of the three proposals."""
    selected: ByProposal
    """IoU of the proposal with the highest SamScore."""

    @property
    def largest(self) -> ByProposal:
        """That of the largest model's mask."""
        return list(self.models.values())[-1]

    @property
    def by_name(self) -> dict[str, ByProposal]:
        """All of them, the models' among the others."""
        parts = dict(vars(self))
        models = parts.pop("models")
        return {"own": parts.pop("own"), **models, **parts}


@dataclass(frozen=True)
class Gaps:
    """What a correction would gain in IoU, by source of uncertainty, for each proposal."""

    model: ByProposal | None
    """The largest model instead of the smallest; None where there is one."""
    prompt: ByProposal
    """Eight clicks instead of one."""
    task: ByProposal
    """The best proposal instead of the selected one."""

    @property
    def by_name(self) -> dict[str, ByProposal]:
        """Those that there are."""
        return {name: gap for name, gap in vars(self).items() if gap is not None}


@dataclass(frozen=True)
class Judgement:
    """Predictions of the heads for each proposal."""

    expected_iou: ExpectedIou
    gap: Gaps
    """Δ: differences of two expected IoUs."""
    direct_gap: Gaps
    """Δ*: from heads that learned the gap itself."""

    def values_of(self, proposal: int) -> dict[str, dict[str, float]]:
        """What is predicted for a proposal, for JSON."""
        return {
            part: {name: float(values[proposal]) for name, values in own.by_name.items()}
            for part, own in vars(self).items()
        }


def predict_rows(
    heads: ProposalHeads,
    inputs: Float32[np.ndarray, "row input"],
    sam_score: Float32[np.ndarray, "*prompt proposal"],
) -> dict[str, Float32[np.ndarray, "*prompt proposal"]]:
    """What every head predicts of some proposals, by objective, in the shape of their SamScores.

    Parameters
    ----------
    inputs
        A row of ``proposal_inputs`` for each.

    Raises
    ------
    PromptError
        If a SamScore or what the heads read is no number, of which they would say something, too.
    """
    for values in (sam_score, inputs):
        check_finite("SamScores and tokens of the decoder", values)
    predicted = predict(heads.weights, inputs)
    return {name: values.reshape(sam_score.shape) for name, values in predicted.items()}


def judge(
    heads: ProposalHeads, predicted: Mapping[str, Float32[np.ndarray, " proposal"]]
) -> Judgement:
    """Read what the heads predict of the proposals of a prompt, as measures do."""
    n = len(predicted["iou_refined"])
    unknown = ProposalScores(*np.full((4, n, 1), np.nan, np.float32))
    scores = ModelScores(unknown, {}, {}, {}, largest=unknown, models=heads.models)
    evidence = Evidence(heads.model, "selected", scores, heads.head_set, predicted)

    def gaps(model: str, *others: str) -> Gaps:
        prompt, task = (BY_NAME[name].compute(evidence) for name in others)
        has_larger = len(heads.models) > 1
        return Gaps(BY_NAME[model].compute(evidence) if has_larger else None, prompt, task)

    expected = ExpectedIou(
        own=evidence.own_iou(),
        models={model: evidence.head(f"iou_{model}") for model in heads.models},
        refined=evidence.head("iou_refined"),
        best=evidence.best_iou(),
        selected=evidence.selected_iou(),
    )
    return Judgement(
        expected,
        gaps("delta_theta", "delta_xp", "delta_a"),
        gaps("delta_theta_star", "delta_xp_star", "delta_a_star"),
    )


def proposal_inputs(heads: ProposalHeads, decoded: Decoded) -> Float32[np.ndarray, "row input"]:
    """What the heads read of each proposal, as if that were the judged one."""
    head_set = heads.head_set
    read = arrays_for_heads(decoded, KINDS_BY_NAME[head_set.kind])
    if heads.first_mask_token != 1:
        # All else pairs proposal k with mask token k + 1.
        read["mask_token"] = np.roll(read["mask_token"], 1 - heads.first_mask_token, axis=1)
    return inputs_of_proposals(read, head_set)


LOGIT_BOUND: Final = 32
"""Low-resolution logits are returned within this bound, as ``SAM2ImagePredictor`` does."""


@dataclass(frozen=True)
class Uncertainty:
    """Three proposals for one prompt set in decoder order, and what is expected of each."""

    masks: Bool[np.ndarray, "proposal height width"]
    """At the size of the image."""
    sam_score: Float32[np.ndarray, " proposal"]
    """IoU that the decoder predicts."""
    logits: Float32[np.ndarray, "proposal y x"]
    """At low resolution, as ``predict`` takes and returns them."""
    probability: Float32[np.ndarray, "proposal y x"]
    """Foreground probability at low resolution, in the 256 steps of the cache."""
    expected_iou: ExpectedIou
    gap: Gaps
    """Δ: gains as the differences of two expected IoUs."""
    direct_gap: Gaps
    """Δ*: gains as heads predict them that learned the gain itself."""
    h_std: Float64[np.ndarray, " proposal"]
    """H_Std: entropy of each mask, in bits."""
    h_a: float
    """H_A: entropy of the mean of the three masks, weighted by SamScore, in bits."""
    advice: Advice
    """About the selected proposal."""
    is_kept: bool | None
    """Whether the gate of the heads keeps the selected proposal; None if they have no gate, or the
    image is unlike what they learned from."""
    mask_set: tuple[int, ...] | None
    """The fewest proposals of which one is good enough, under a promise that was calibrated for the
    heads, the one with the highest expected IoU first; None without, or for an unlike image."""
    unlike_training: float | None
    """Share of the held-out training images of the heads that are nearer to the others, by their
    colours, than this image; None if the heads do not know."""
    caution: str
    """Why the heads may be wrong about such an image or prompt; empty for those they know."""

    @property
    def selected(self) -> int:
        """The proposal with the highest SamScore."""
        return int(self.sam_score.argmax())

    @property
    def alternative(self) -> int:
        """The proposal with the highest expected IoU of the two that are not selected."""
        return alternative_to(self.selected, self.expected_iou.own)

    @property
    def pixel_entropy(self) -> Float32[np.ndarray, "proposal y x"]:
        """Entropy of each pixel in bits, at low resolution.

        Its mean, weighted by ``probability``, is ``h_std``.
        """
        p = self.probability
        q = 1 - p
        # 0 log 0 is 0: such a pixel is sure.
        bits: Float32[np.ndarray, "proposal y x"] = -(
            p * np.log2(np.where(p > 0, p, 1)) + q * np.log2(np.where(q > 0, q, 1))
        )
        return bits

    def to_dict(self) -> dict[str, Any]:
        """All except the arrays of pixels, for JSON; masks as COCO's RLE and polygons."""
        proposals = [
            {
                **self.proposal_values(k),
                "area_px": int(mask.sum()),
                "segmentation": coco_masks.rle(mask),
                "polygons": coco_masks.polygons(mask),
            }
            for k, mask in enumerate(self.masks)
        ]
        return {**self.prompt_values(), "proposals": proposals}

    def prompt_values(self) -> dict[str, Any]:
        """Values about all proposals together, for JSON."""
        return {
            "selected": self.selected,
            "alternative": self.alternative,
            "advice": self.advice.to_dict(),
            "is_kept": self.is_kept,
            "mask_set": None if self.mask_set is None else list(self.mask_set),
            "unlike_training": self.unlike_training,
            "caution": self.caution or None,
            "h_a": self.h_a,
        }

    def proposal_values(self, proposal: int) -> dict[str, Any]:
        """Scores of a proposal, for JSON: everything but its mask."""
        judgement = Judgement(self.expected_iou, self.gap, self.direct_gap)
        return {
            "sam_score": float(self.sam_score[proposal]),
            "h_std": float(self.h_std[proposal]),
            **judgement.values_of(proposal),
        }


def read_uncertainty(
    decoded: Decoded,
    heads: ProposalHeads,
    *,
    size_px: tuple[int, int],
    costs: Costs,
    facts: ImageFacts,
    cautions: Sequence[str],
) -> Iterator[Uncertainty]:
    """One prompt set at a time: masks of many, at the size of the image, would fill the memory.

    Parameters
    ----------
    cautions
        Why the heads may be wrong about each prompt set.

    Notes
    -----
    Entropies are those of the probabilities that the cache would store, so that both say the same.
    """
    sam_score = decoded.sam_score.cpu().numpy()
    predicted = predict_rows(heads, proposal_inputs(heads, decoded), sam_score)
    probability = decode(encode_logits(decoded.logits).cpu().numpy())
    mixed = np.einsum("pk,pkyx->pyx", task_probability(sam_score), probability)
    h_std, h_a = mask_entropy(probability), mask_entropy(mixed.clip(0, 1))
    for i, logits in enumerate(decoded.logits):
        selected = int(sam_score[i].argmax())
        own = judge(heads, {name: values[i] for name, values in predicted.items()})
        expected, is_unlike = own.expected_iou.own, facts.is_unlike
        other = alternative_to(selected, expected)
        advice, kept = decide(own, selected, heads, costs, is_unlike=is_unlike, alternative=other)
        limit = None if is_unlike else heads.least_doubt
        yield Uncertainty(
            masks=masks_at_image(logits[None], size_px)[0],
            sam_score=sam_score[i],
            logits=bounded(logits).cpu().numpy(),
            probability=probability[i],
            expected_iou=own.expected_iou,
            gap=own.gap,
            direct_gap=own.direct_gap,
            h_std=h_std[i],
            h_a=float(h_a[i]),
            advice=advice,
            is_kept=kept,
            mask_set=None if limit is None else mask_set(expected, limit),
            unlike_training=facts.unlike_training,
            caution="; ".join(filter(None, (facts.caution, cautions[i]))),
        )


def decide(
    judgement: Judgement,
    proposal: int,
    heads: ProposalHeads,
    costs: Costs,
    *,
    is_unlike: bool,
    alternative: int | None = None,
) -> tuple[Advice, bool | None]:
    """Advice about a proposal, and whether the gate keeps it, if there is one.

    Of an image that is unlike the training images, neither is decided.
    """
    own = float(judgement.expected_iou.own[proposal])
    if is_unlike:
        return Advice(NONE, 0.0, own, {}), None  # nothing vouches for what is expected
    kept = None if heads.least_iou is None else own >= heads.least_iou
    return advise_on(judgement, proposal, heads.model, costs, alternative), kept


def bounded(logits: Float[Tensor, "*batch y x"]) -> Float[Tensor, "*batch y x"]:
    """Logits as a later prompt takes them for its mask."""
    return logits.clamp(-LOGIT_BOUND, LOGIT_BOUND)


def alternative_to(selected: int, own_iou: Float64[np.ndarray, " proposal"]) -> int:
    """The proposal with the highest expected IoU of those that are not selected."""
    order = np.argsort(-own_iou, kind="stable")
    return int(order[order != selected][0])


def advise_on(
    judgement: Judgement,
    proposal: int,
    model: str,
    costs: Costs,
    alternative: int | None = None,
) -> Advice:
    """What to do with one of some proposals.

    Parameters
    ----------
    model
        Whose proposals they are.
    alternative
        The other proposal that may be taken, if there is one.

    Notes
    -----
    The direct gap of the model is the gain over the smallest; other models are compared with the
    largest by expected IoUs. Of the largest itself, these are equal: it gains nothing. A single
    model has no larger one.
    """
    expected, direct = judgement.expected_iou, judgement.direct_gap
    own = expected.own[proposal]
    gains = {"prompt": direct.prompt[proposal]}
    if direct.model is not None:
        is_smallest = model == next(iter(expected.models))
        larger = direct.model[proposal] if is_smallest else expected.largest[proposal] - own
        gains = {"model": larger, **gains}
    if alternative is not None:
        gains["task"] = expected.own[alternative] - own
    return advise(float(own), {name: float(gain) for name, gain in gains.items()}, costs)
