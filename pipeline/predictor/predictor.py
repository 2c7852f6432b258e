"""A predictor that takes the place of ``SAM2ImagePredictor``, and says how wrong a mask may be."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float32
from numpy.typing import ArrayLike
from PIL.Image import Image
from torch import Tensor

from pipeline.extraction.plan import decoder_batch
from pipeline.predictor.advice import GOOD_IOU
from pipeline.predictor.heads import ProposalHeads
from pipeline.predictor.images import rgb_of
from pipeline.predictor.prompts import DecoderPrompts, Kind, PromptSet, joined, parse_prompts
from pipeline.predictor.uncertainty import Uncertainty, at_image, bounded, read_uncertainty
from pipeline.sam.model import Decoded, Embedding, Sam

Prediction = tuple[
    Float32[np.ndarray, "*prompt proposal height width"],
    Float32[np.ndarray, "*prompt proposal"],
    Float32[np.ndarray, "*prompt proposal y x"],
]
"""Masks, SamScores and low-resolution logits; without the first dimension for one prompt set."""


class UncertainPredictor:
    """An image, encoded once, and the answers to any number of prompts about it."""

    def __init__(self, sam: Sam, heads: ProposalHeads) -> None:
        self.sam = sam
        self.heads = heads
        self._embedding: Embedding | None = None

    def set_image(self, image: np.ndarray | Image) -> None:
        """Encode an image: bytes in 0..255, floats in 0..1, or a PIL image in mode RGB.

        Raises
        ------
        TypeError, ValueError
            If it is no such image.
        """
        self._embedding = None
        self._embedding = self.sam.encode(rgb_of(image))

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,  # noqa: FBT001, FBT002 - as SAM2ImagePredictor has it
        return_logits: bool = False,  # noqa: FBT001, FBT002
        normalize_coords: bool = True,  # noqa: FBT001, FBT002
    ) -> Prediction:
        """Masks, SamScores and low-resolution logits, as from ``SAM2ImagePredictor.predict``.

        Parameters
        ----------
        point_coords, point_labels, box, mask_input
            See ``pipeline.predictor.prompts.parse_prompts``.
        multimask_output
            Whether to return three proposals instead of the single mask.
        return_logits
            Whether the masks are logits at image resolution, not yet cut at 0.
        normalize_coords
            Whether coordinates are in pixels of the image; otherwise they are fractions of it.

        Raises
        ------
        RuntimeError
            If no image was set.
        ValueError
            If the prompts are not of these shapes.
        """
        embedding = self._encoded()
        height, width = embedding.size_px
        scale = (1, 1) if normalize_coords else (width, height)
        prompts = parse_prompts(point_coords, point_labels, box, mask_input, scale=scale)
        decoded = self._decode(prompts, multimask_output=multimask_output)
        logits = at_image(decoded.logits, embedding.size_px)
        masks = logits if return_logits else logits > 0
        one = prompts.n_sets == 1
        return (
            _array(masks, squeezed=one),
            _array(decoded.sam_score, squeezed=one),
            _array(bounded(decoded.logits), squeezed=one),
        )

    def predict_uncertainty(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        *,
        good_iou: float = GOOD_IOU,
    ) -> Uncertainty:
        """Three proposals for one prompt set, and how wrong each may be.

        Parameters
        ----------
        point_coords, point_labels, box, mask_input
            As for ``predict``, of one prompt set.
        good_iou
            Expected IoU from which the advice is to keep the mask.

        Raises
        ------
        RuntimeError
            If no image was set.
        ValueError
            If the prompts are not of these shapes, or of several prompt sets.
        """
        asked = PromptSet(point_coords, point_labels, box, mask_input)
        (found,) = self.predict_uncertainties([asked], good_iou=good_iou)
        return found

    def predict_uncertainties(
        self, prompt_sets: Sequence[PromptSet], *, good_iou: float = GOOD_IOU
    ) -> list[Uncertainty]:
        """The same for many prompt sets about the image, in as few decoder calls as there can be.

        Returns
        -------
        In the order of the prompt sets, which may differ in their kind.
        """
        size_px = self._encoded().size_px
        parsed = [_parse_one(one) for one in prompt_sets]
        found: dict[int, Uncertainty] = {}
        for places in _calls([one.kind for one in parsed], self._batch):
            some = [parsed[i] for i in places]
            told = read_uncertainty(
                self._decode(joined(some)),
                self.heads,
                size_px=size_px,
                good_iou=good_iou,
                cautions=[one.caution for one in some],
            )
            found.update(zip(places, told, strict=True))
        return [found[i] for i in range(len(parsed))]

    @property
    def _batch(self) -> int:
        device, side = self.sam.device.type, self.sam.mask_size_px
        return decoder_batch("auto", device=device, mask_size_px=side)

    def _encoded(self) -> Embedding:
        if self._embedding is None:
            raise RuntimeError("an image must be set by set_image before a prediction, got none")
        return self._embedding

    def _decode(self, prompts: DecoderPrompts, *, multimask_output: bool = True) -> Decoded:
        return self.sam.decode(
            self._encoded(),
            prompts.points,
            labels=prompts.labels,
            mask_input=prompts.mask_input,
            multimask_output=multimask_output,
        )


def _parse_one(asked: PromptSet) -> DecoderPrompts:
    prompts = parse_prompts(**vars(asked))
    if prompts.n_sets != 1:
        raise ValueError(
            f"prompts must be of one set, got {prompts.n_sets}: "
            "predict_uncertainties takes many, each a PromptSet"
        )
    return prompts


def _calls(kinds: Sequence[Kind], batch: int) -> Iterator[list[int]]:
    """Places of the prompt sets of each decoder call: of one kind, at most so many."""
    for kind in dict.fromkeys(kinds):
        places = [i for i, own in enumerate(kinds) if own == kind]
        yield from (places[i : i + batch] for i in range(0, len(places), batch))


def _array(tensor: Tensor, *, squeezed: bool) -> Float32[np.ndarray, "..."]:
    values: Float32[np.ndarray, "..."] = tensor.float().cpu().numpy()
    return values[0] if squeezed else values
