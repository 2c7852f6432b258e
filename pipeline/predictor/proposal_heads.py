"""Heads that judge the three proposals of a prompt, and images on which they may be wrong."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from pipeline.extraction.predictions import arrays_for_heads
from pipeline.heads.kinds import KINDS_BY_NAME, HeadSet
from pipeline.heads.predict import HeadWeights, check_head, inputs_of_proposals, predict
from pipeline.predictor.colours import OUT_OF_DISTRIBUTION, TrainingColours
from pipeline.predictor.prompt_sets import check_finite
from pipeline.sam.model import Decoded
from pipeline.vocabulary import TRAIN_PROMPTS


@dataclass(frozen=True)
class ProposalHeads:
    """One head set, and the model whose proposals it judges.

    Raises
    ------
    ValueError
        If the model is unknown, or a head is missing, is no MLP, or holds NaN or infinity.
    """

    model: str
    models: tuple[str, ...]
    """Models that the heads know, from small to large."""
    head_set: HeadSet
    weights: Mapping[str, HeadWeights]
    """By objective."""
    first_mask_token: int = 1
    """Mask token of proposal 0; the heads that the paper's authors publish pair it with 0."""
    least_iou: float | None = None
    """Lowest expected IoU at which a calibrated guarantee keeps the selected mask; None without."""
    least_doubt: float | None = None
    """Threshold of a calibrated guarantee about mask sets; None without."""
    prompts: tuple[str, ...] = TRAIN_PROMPTS[:1]
    """Prompt sets that the heads learned from."""
    image_caution: str = ""
    """Why the heads may be wrong about any image."""
    colours: TrainingColours | None = None
    """Colours of the images that the heads learned from, if their card has them."""

    def __post_init__(self) -> None:
        if self.model not in self.models:
            raise ValueError(f"model must be one of {', '.join(self.models)}, got {self.model!r}")
        for objective in self.head_set.objectives(self.models):
            if objective not in self.weights:
                raise ValueError(f"heads of {self.head_set} must have {objective}, got none")
        for objective, head in self.weights.items():
            check_head(objective, head)
            for tensor in head.values():
                check_finite(f"weights of head {objective}", tensor)

    def image_facts(self, colours: Float64[np.ndarray, " descriptor"]) -> "ImageFacts":
        """Facts about an image that need no prompt.

        Parameters
        ----------
        colours
            Result of ``describe_colours`` for the image.
        """
        share = None if self.colours is None else self.colours.share_nearer(colours)
        return ImageFacts(self.image_caution, share)


@dataclass(frozen=True)
class ImageFacts:
    """How far heads can be trusted about an image."""

    image_caution: str
    """Caution of the heads about any image; may be empty."""
    unlike_training: float | None
    """Share of the held-out training images that are nearer to the others by their colours; None
    if the heads have no training colours."""

    @property
    def is_out_of_distribution(self) -> bool:
        """Whether the image is further away than nearly all held-out training images."""
        return self.unlike_training is not None and self.unlike_training > OUT_OF_DISTRIBUTION

    @property
    def caution(self) -> str:
        """Why the heads may be wrong about the image; may be empty."""
        if not self.is_out_of_distribution:
            return self.image_caution
        share = "all" if self.unlike_training == 1 else f"{self.unlike_training:.1%}"
        distance = f"the image is unlike what these heads learned from (further than {share} of it)"
        return "; ".join(filter(None, (distance, self.image_caution)))


def proposal_inputs(heads: ProposalHeads, decoded: Decoded) -> Float32[np.ndarray, "row input"]:
    """Inputs of the heads, a row for each proposal, as if that proposal were the judged one."""
    arrays = arrays_for_heads(decoded, KINDS_BY_NAME[heads.head_set.kind])
    if heads.first_mask_token != 1:
        # Everything else pairs proposal k with mask token k + 1.
        arrays["mask_token"] = np.roll(arrays["mask_token"], 1 - heads.first_mask_token, axis=1)
    return inputs_of_proposals(arrays, heads.head_set)


def predict_proposals(
    heads: ProposalHeads,
    inputs: Float32[np.ndarray, "row input"],
    sam_score: Float32[np.ndarray, "*prompt proposal"],
) -> dict[str, Float32[np.ndarray, "*prompt proposal"]]:
    """Prediction of every head for every proposal, by objective, in the shape of the SamScores.

    Parameters
    ----------
    inputs
        Rows of ``proposal_inputs``, one for each SamScore.

    Raises
    ------
    PromptError
        If a SamScore or an input of a head is NaN: the head would answer anyway.
    """
    for values in (sam_score, inputs):
        check_finite("SamScores and tokens of the decoder", values)
    predicted = predict(heads.weights, inputs)
    return {name: values.reshape(sam_score.shape) for name, values in predicted.items()}
