"""A predictor that takes the place of ``SAM2ImagePredictor``, and says how wrong a mask may be."""

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from numpy.typing import ArrayLike
from PIL.Image import Image
from torch import Tensor, nn

from pipeline.extraction.plan import decoder_batch
from pipeline.predictor.advice import Costs
from pipeline.predictor.encoded_image import EncodedImage, rgb_of
from pipeline.predictor.prompt_sets import (
    DecoderPrompts,
    Kind,
    PromptSet,
    joined,
    parse_one,
    parse_prompts,
)
from pipeline.predictor.uncertainty import ProposalHeads, Uncertainty, bounded, read_uncertainty
from pipeline.sam.model import Embedding, Sam
from pipeline.upsampling import at_image, masks_at_image

_ENCODED_PIXELS: Final = 2**22
"""Pixels that the encoder sees in one call: four images of 1024 px, which take some gigabytes."""

STABILITY_DELTA: Final = 0.05
"""Logits within which a pixel may change sides."""

LEAST_STABILITY: Final = 0.98
"""IoU of the masks that are cut at both, from which the single mask is taken."""


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
        self.reset_predictor()

    @property
    def model(self) -> nn.Module:
        """The model, as ``sam2`` builds it."""
        model: nn.Module = self.sam.model
        return model

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.sam.device

    def reset_predictor(self) -> None:
        """Forget the image, or the images."""
        self._images: tuple[EncodedImage, ...] = ()
        self._is_batch = False

    def set_image(self, image: np.ndarray | Image) -> None:
        """Encode an image: bytes in 0..255, floats in 0..1, or a PIL image in mode RGB.

        Raises
        ------
        TypeError, ValueError
            If it is no such image.
        """
        self._set([image], is_batch=False)

    def set_image_batch(self, image_list: Sequence[np.ndarray | Image]) -> None:
        """Encode images of any sizes, for ``predict_batch``.

        Raises
        ------
        TypeError, ValueError
            If one is no such image as ``set_image`` takes.
        """
        self._set(image_list, is_batch=True)

    def _set(self, images: Sequence[np.ndarray | Image], *, is_batch: bool) -> None:
        self.reset_predictor()
        pixels = [rgb_of(image) for image in images]
        step = max(1, _ENCODED_PIXELS // self.sam.image_size_px**2)
        embeddings = [
            embedding
            for start in range(0, len(pixels), step)
            for embedding in self.sam.encode_batch(pixels[start : start + step])
        ]
        self._images = tuple(map(EncodedImage, pixels, embeddings))
        self._is_batch = is_batch

    def get_image_embedding(self) -> Float[Tensor, "image channel rows cols"]:
        """What the encoder makes of the image, or of each image of ``set_image_batch``.

        Raises
        ------
        RuntimeError
            If no image was set.
        """
        if not self._images:
            raise RuntimeError("an image must be set by set_image before its embedding, got none")
        return torch.cat([image.embedding.image for image in self._images])

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
            See ``PromptSet``; of several sets, each has one more dimension in front.
        multimask_output
            Whether to return three proposals instead of the single mask, or of the selected
            proposal where that mask is not stable, as models of ``build_sam2`` do.
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
        prompt_set = PromptSet(point_coords, point_labels, box, mask_input)
        output = multimask_output, return_logits, normalize_coords
        return self._predict(self._one(), prompt_set, *output)

    def predict_batch(
        self,
        point_coords_batch: Sequence[ArrayLike | None] | None = None,
        point_labels_batch: Sequence[ArrayLike | None] | None = None,
        box_batch: Sequence[ArrayLike | None] | None = None,
        mask_input_batch: Sequence[ArrayLike | None] | None = None,
        multimask_output: bool = True,  # noqa: FBT001, FBT002 - as SAM2ImagePredictor has it
        return_logits: bool = False,  # noqa: FBT001, FBT002
        normalize_coords: bool = True,  # noqa: FBT001, FBT002
    ) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
        """The same for each image of ``set_image_batch``, as from ``SAM2ImagePredictor``.

        Parameters
        ----------
        point_coords_batch, point_labels_batch, box_batch, mask_input_batch
            The arguments of ``predict`` for one image after the other.

        Raises
        ------
        RuntimeError
            If no images were set.
        ValueError
            If the prompts are not of these shapes, or of fewer or more images.
        """
        images = self._images
        if not self._is_batch:
            raise RuntimeError(
                "images must be set by set_image_batch before predictions about many, got "
                f"{'one by set_image' if images else 'none'}"
            )
        given = (point_coords_batch, point_labels_batch, box_batch, mask_input_batch)
        for part in given:
            if part is not None and len(part) != len(images):
                raise ValueError(f"prompts must be of {len(images)} images, got {len(part)}")
        by_part = [repeat(None, len(images)) if part is None else part for part in given]
        every = zip(*by_part, strict=True)
        output = multimask_output, return_logits, normalize_coords
        found = [
            self._predict(image, PromptSet(*prompt), *output)
            for image, prompt in zip(images, every, strict=True)
        ]
        masks, sam_scores, logits = ([one[part] for one in found] for part in range(3))
        return masks, sam_scores, logits

    def predict_uncertainty(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        *,
        costs: Costs = Costs(),  # noqa: B008 - it is frozen
    ) -> Uncertainty:
        """Three proposals for one prompt set, and how wrong each may be.

        Parameters
        ----------
        point_coords, point_labels, box, mask_input
            As for ``predict``, of one prompt set.
        costs
            What a correction must gain to be advised.

        Raises
        ------
        RuntimeError
            If no image was set.
        ValueError
            If the prompts are not of these shapes, of several prompt sets, name no object, or lie
            beyond the image.
        """
        prompt_set = PromptSet(point_coords, point_labels, box, mask_input)
        (found,) = self.predict_uncertainties([prompt_set], costs=costs)
        return found

    @torch.inference_mode()
    def predict_uncertainties(
        self,
        prompt_sets: Sequence[PromptSet],
        *,
        costs: Costs = Costs(),  # noqa: B008 - it is frozen
        mask_size_px: tuple[int, int] | None = None,
    ) -> list[Uncertainty]:
        """The same for many prompt sets about the image, in as few decoder calls as there can be.

        Parameters
        ----------
        costs
            What a correction must gain to be advised.
        mask_size_px
            Height and width of the masks, such as those of a screen; by default the image's.

        Returns
        -------
        In the order of the prompt sets, which may differ in their kind.
        """
        sam, image = self.sam, self._one()
        side = sam.mask_size_px
        parsed = [parse_one(one, image.size_px, mask_size_px=side) for one in prompt_sets]
        batch = decoder_batch("auto", device=sam.device.type, mask_size_px=side)
        facts = self.heads.image_facts(image.rgb, image.colours)
        found: dict[int, Uncertainty] = {}
        for numbers in _calls([one.kind for one in parsed], batch):
            some = [parsed[i] for i in numbers]
            read = read_uncertainty(
                sam.decode(image.embedding, **vars(joined(some))),
                self.heads,
                size_px=mask_size_px or image.size_px,
                costs=costs,
                facts=facts,
                cautions=[one.caution(self.heads.prompts) for one in some],
            )
            found.update(zip(numbers, read, strict=True))
        return [found[i] for i in range(len(parsed))]

    @torch.inference_mode()
    def _predict(
        self,
        image: EncodedImage,
        prompt_set: PromptSet,
        multimask_output: bool,  # noqa: FBT001 - as predict has them
        return_logits: bool,  # noqa: FBT001
        normalize_coords: bool,  # noqa: FBT001
    ) -> Prediction:
        height, width = image.size_px
        scale = (1, 1) if normalize_coords else (width, height)
        prompts = parse_prompts(prompt_set, scale=scale, mask_size_px=self.sam.mask_size_px)
        if multimask_output:
            three = self.sam.decode(image.embedding, **vars(prompts))
            logits, sam_score = three.logits, three.sam_score
        else:
            logits, sam_score = single_masks(self.sam, image.embedding, prompts)
        if return_logits:
            masks = at_image(logits, image.size_px).cpu().numpy()
        else:
            masks = masks_at_image(logits, image.size_px).astype(np.float32)
        found = masks, sam_score.cpu().numpy(), bounded(logits).cpu().numpy()
        return found if prompts.n_sets > 1 else (found[0][0], found[1][0], found[2][0])

    def _one(self) -> EncodedImage:
        if self._is_batch:
            n_images = len(self._images)
            raise RuntimeError(
                f"an image must be set by set_image before a prediction, got {n_images} by "
                "set_image_batch: set one, or call predict_batch for masks alone"
            )
        if not self._images:
            raise RuntimeError("an image must be set by set_image before a prediction, got none")
        return self._images[0]


def _calls(kinds: Sequence[Kind], batch: int) -> Iterator[list[int]]:
    """Numbers of the prompt sets of each decoder call: of one kind, at most so many."""
    for kind in dict.fromkeys(kinds):
        numbers = [i for i, own in enumerate(kinds) if own == kind]
        yield from (numbers[i : i + batch] for i in range(0, len(numbers), batch))


def single_masks(
    sam: Sam, embedding: Embedding, prompts: DecoderPrompts
) -> tuple[Float[Tensor, "prompt 1 y x"], Float[Tensor, "prompt 1"]]:
    """Logits and SamScore of one mask for each prompt set.

    Notes
    -----
    ``dynamic_multimask_via_stability`` of ``sam2``'s decoder, with the numbers of its
    ``build_sam2``. The proposals are decoded only where they are needed, in a second call.
    """
    single = sam.decode(embedding, **vars(prompts), multimask_output=False)
    is_stable = _is_stable(single.logits)
    if is_stable.all():
        return single.logits, single.sam_score
    three = sam.decode(embedding, **vars(prompts))
    selected, sam_score = three.selected_logits[:, None], three.sam_score.amax(1, keepdim=True)
    return (
        torch.where(is_stable[..., None, None], single.logits, selected),
        torch.where(is_stable, single.sam_score, sam_score),
    )


def _is_stable(logits: Float[Tensor, "prompt 1 y x"]) -> Bool[Tensor, "prompt 1"]:
    inner, outer = ((logits > cut).sum((-2, -1)) for cut in (STABILITY_DELTA, -STABILITY_DELTA))
    # An empty mask is stable.
    return torch.where(outer > 0, inner / outer, 1) >= LEAST_STABILITY
