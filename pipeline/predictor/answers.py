"""Prompt sets about an encoded image, decoded together and read as people want them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32

from pipeline.extraction.plan import decoder_batch
from pipeline.predictor.encoded import EncodedImage
from pipeline.predictor.heads import ProposalHeads
from pipeline.predictor.prompts import (
    DecoderPrompts,
    Kind,
    PromptSet,
    check_clicks,
    joined,
    parse_prompts,
)
from pipeline.predictor.uncertainty import Uncertainty, bounded, read_uncertainty
from pipeline.predictor.upsampling import at_image, masks_at_image
from pipeline.sam.model import Decoded, Sam

Prediction = tuple[
    Float32[np.ndarray, "*prompt proposal height width"],
    Float32[np.ndarray, "*prompt proposal"],
    Float32[np.ndarray, "*prompt proposal y x"],
]
"""Masks, SamScores and low-resolution logits; without the first dimension for one prompt set."""


@dataclass(frozen=True)
class Output:
    """What ``predict`` is to return, and whether coordinates are pixels or fractions."""

    multimask_output: bool
    return_logits: bool
    normalize_coords: bool


@torch.inference_mode()
def predict_sets(sam: Sam, image: EncodedImage, asked: PromptSet, output: Output) -> Prediction:
    """See ``UncertainPredictor.predict``."""
    height, width = image.size_px
    scale = (1, 1) if output.normalize_coords else (width, height)
    prompts = parse_prompts(**vars(asked), scale=scale)
    decoded = _decode(sam, image, prompts, multimask_output=output.multimask_output)
    if output.return_logits:
        masks = at_image(decoded.logits, image.size_px).cpu().numpy()
    else:
        masks = masks_at_image(decoded.logits, image.size_px).astype(np.float32)
    parts = masks, decoded.sam_score.cpu().numpy(), bounded(decoded.logits).cpu().numpy()
    if prompts.n_sets > 1:
        return parts
    (masks, sam_score, logits) = (part[0] for part in parts)
    return masks, sam_score, logits


@torch.inference_mode()
def ask(
    sam: Sam,
    heads: ProposalHeads,
    image: EncodedImage,
    prompt_sets: Sequence[PromptSet],
    *,
    good_iou: float,
    mask_size_px: tuple[int, int] | None = None,
) -> list[Uncertainty]:
    """See ``UncertainPredictor.predict_uncertainties``."""
    parsed = [parse_one(one, image.size_px) for one in prompt_sets]
    batch = decoder_batch("auto", device=sam.device.type, mask_size_px=sam.mask_size_px)
    found: dict[int, Uncertainty] = {}
    for places in _calls([one.kind for one in parsed], batch):
        some = [parsed[i] for i in places]
        told = read_uncertainty(
            _decode(sam, image, joined(some)),
            heads,
            size_px=mask_size_px or image.size_px,
            good_iou=good_iou,
            cautions=[one.caution for one in some],
        )
        found.update(zip(places, told, strict=True))
    return [found[i] for i in range(len(parsed))]


def parse_one(asked: PromptSet, size_px: tuple[int, int]) -> DecoderPrompts:
    """The prompts of one set about an image of a height and a width.

    Raises
    ------
    ValueError
        If they are of several, do not fit together, or a click is not in the image. SAM2 answers
        those, and so does ``predict``; of what the heads would make of them, nothing is known.
    """
    prompts = parse_prompts(**vars(asked))
    if prompts.n_sets != 1:
        raise ValueError(
            f"prompts must be of one set, got {prompts.n_sets}: "
            "predict_uncertainties takes many, each a PromptSet"
        )
    check_clicks("point_coords", prompts.clicks, size_px)
    return prompts


def _calls(kinds: Sequence[Kind], batch: int) -> Iterator[list[int]]:
    """Places of the prompt sets of each decoder call: of one kind, at most so many."""
    for kind in dict.fromkeys(kinds):
        places = [i for i, own in enumerate(kinds) if own == kind]
        yield from (places[i : i + batch] for i in range(0, len(places), batch))


def _decode(
    sam: Sam, image: EncodedImage, prompts: DecoderPrompts, *, multimask_output: bool = True
) -> Decoded:
    return sam.decode(
        image.embedding,
        prompts.points,
        labels=prompts.labels,
        mask_input=prompts.mask_input,
        multimask_output=multimask_output,
    )
