"""Heads that judge the three proposals of a prompt, with their evidence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from pipeline.extraction.predictions import arrays_for_heads
from pipeline.heads.kinds import KINDS_BY_NAME, HeadSet
from pipeline.heads.predict import HeadWeights, inputs_of_proposals, predict
from pipeline.heads.scope import CalibratedGuarantee, ChoiceGain
from pipeline.heads.training_images import TrainingImages
from pipeline.predictor.encoded_image import EncodedImage
from pipeline.predictor.prompt_sets import check_finite
from pipeline.prompt_kinds import PromptError
from pipeline.proposals import Values
from pipeline.sam.model import Decoded
from pipeline.scoring.evidence import HeadPredictions, Predictions, head_predictions
from pipeline.vocabulary import TRAIN_PROMPTS


@dataclass(frozen=True)
class ProposalHeads:
    """The heads of one head set, and the model whose proposals they judge; or the lack of heads.

    Raises a ValueError if the heads do not know the model, or a head is missing.
    """

    family: str
    """Family of the model."""
    model: str
    models: tuple[str, ...]
    """Models that the heads know, from small to large."""
    head_set: HeadSet | None
    """None if there are no heads: then nothing is said that only heads can say."""
    weights: Mapping[str, HeadWeights]
    """Weights of the heads by objective."""
    first_mask_token: int = 1
    """Index of the mask token that belongs to proposal 0; 0 for the heads that the paper's authors
    publish."""
    guarantees: tuple[CalibratedGuarantee, ...] = ()
    """Guarantees about masks of the model."""
    choices: tuple[ChoiceGain, ...] = ()
    """Gains of the choice of masks of the model, by prompt set; empty for heads that do not choose.
    """
    prompts: tuple[str, ...] = TRAIN_PROMPTS[:1]
    """Names of the prompt sets from which the heads learned."""
    images: str = ""
    """Contents of the images from which the heads learned; empty if they are unknown."""
    training_images: TrainingImages | None = None
    """Encoder statistics of the images from which the heads learned. None if they are unknown, or
    if the smallest model of the family, whose encoder computes them, is not available."""
    untested: str = ""
    """Caution about heads that were not tested on held-out images; empty if they were."""
    no_heads: str = ""
    """Sentence that says how to get heads; empty if there are heads."""

    def __post_init__(self) -> None:
        if self.model not in self.models:
            raise ValueError(f"model must be one of {', '.join(self.models)}, got {self.model!r}")
        for objective in self.head_set.objectives(self.models) if self.head_set else ():
            if objective not in self.weights:
                raise ValueError(f"heads of {self.head_set} must have {objective}, got none")

    def named(self, predictions: Predictions, own: Values | None = None) -> HeadPredictions | None:
        """Expected IoUs and gaps from the heads' predictions by objective; None without heads.

        ``own`` replaces the IoUs that the heads predict for the judged masks.
        """
        if self.head_set is None:
            return None
        return head_predictions(predictions, self.head_set, self.model, models=self.models, own=own)

    def unlike_training(self, image: EncodedImage) -> float | None:
        """Share of training images that are nearer to the other training images than an image is.

        None if the heads do not know their training images, or the image has no statistics. Raises
        a PromptError if the statistics have another length than those of the training images: they
        are by another encoder, usually.
        """
        if self.training_images is None or image.statistics is None:
            return None
        try:
            return self.training_images.share_nearer(image.statistics)
        except ValueError as error:
            raise PromptError(str(error)) from error


def proposal_inputs(heads: ProposalHeads, decoded: Decoded) -> Float32[np.ndarray, "row input"]:
    """Inputs of the heads: a row for each proposal, as if it were the judged proposal.

    The rows of a prompt set are consecutive, in decoder order; without heads, they have no inputs.
    """
    if heads.head_set is None:
        return np.empty((decoded.sam_score.numel(), 0), np.float32)
    arrays = arrays_for_heads(decoded, KINDS_BY_NAME[heads.head_set.kind])
    if heads.first_mask_token != 1:
        # `inputs_of_proposals` pairs proposal k with mask token k + 1.
        arrays["mask_token"] = np.roll(arrays["mask_token"], 1 - heads.first_mask_token, axis=1)
    return inputs_of_proposals(arrays, heads.head_set)


def values_of(predictions: HeadPredictions | None, proposal: int) -> dict[str, Any]:
    """Expected IoUs and gaps of a proposal by their names, for JSON.

    The keys are ``expected_iou``, ``gap`` and ``direct_gap``; each is None without heads.
    """
    if predictions is None:
        return dict.fromkeys(("expected_iou", "gap", "direct_gap"))
    kinds = {
        "expected_iou": predictions.by_name,
        "gap": predictions.gaps,
        "direct_gap": predictions.direct_gaps,
    }
    return {
        kind: {name: float(values[proposal]) for name, values in of_kind.items()}
        for kind, of_kind in kinds.items()
    }


def predict_proposals(
    heads: ProposalHeads,
    inputs: Float32[np.ndarray, "row input"],
    sam_score: Float32[np.ndarray, "*prompt proposal"],
) -> Predictions:
    """Predictions of every head for every proposal, in the order of the rows; empty without heads.

    ``inputs`` are the rows of ``proposal_inputs``, one for each SamScore.

    Raises
    ------
    PromptError
        If a SamScore or an input of a head is NaN or infinite: the head would answer anyway.
    ValueError
        If a head takes another number of inputs: it is of another family, usually.
    """
    for values in (sam_score, inputs):
        check_finite("SamScores and tokens of the decoder", values)
    return predict(heads.weights, inputs)
