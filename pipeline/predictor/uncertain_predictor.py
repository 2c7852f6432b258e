"""A predictor that replaces ``SAM2ImagePredictor``, and tells how wrong each mask may be."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from itertools import repeat
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from numpy.typing import ArrayLike
from PIL.Image import Image
from torch import Tensor, nn

from pipeline.embeddings import StoredEmbedding, check_embedding, pixels_sha256
from pipeline.extraction.shards import decoder_batch
from pipeline.predictor.advice import Costs
from pipeline.predictor.encoded_image import EncodedImage, Rgb, StoredImages, rgb_of
from pipeline.predictor.judgement import permitted
from pipeline.predictor.postprocessing import Postprocessing
from pipeline.predictor.prompt_sets import (
    DecoderPrompts,
    Kind,
    PromptSet,
    joined,
    parse_one,
    parse_prompts,
)
from pipeline.predictor.proposal_heads import ProposalHeads
from pipeline.predictor.uncertainty import Uncertainty, bounded, read_uncertainty
from pipeline.sam.model import Embedding, Pixels, Sam
from pipeline.upsampling import at_image, on_image

_ENCODED_PIXELS: Final = 2**22
"""Largest number of pixels in one call of the encoder: four images of 1024 px need some gigabytes.
"""

STABILITY_DELTA: Final = 0.05
"""Distance from logit 0 of the two cuts whose masks show whether a single mask is stable."""

LEAST_STABILITY: Final = 0.98
"""Lowest IoU of the masks of both cuts at which a single mask counts as stable."""


Prediction = tuple[
    Float32[np.ndarray, "*prompt proposal height width"],
    Float32[np.ndarray, "*prompt proposal"],
    Float32[np.ndarray, "*prompt proposal y x"],
]
"""Masks, SamScores and low-resolution logits; without the dimension ``prompt`` for one prompt set.
"""


@contextmanager
def own_precision(device: torch.device) -> Iterator[None]:
    """Context that computes without gradients, in the model's precision; autocast is ignored."""
    with torch.inference_mode(), torch.autocast(device.type, enabled=False):
        yield


class UncertainPredictor:
    """Encodes an image once, and answers any number of prompts about it.

    Parameters
    ----------
    sam
        The model that encodes images and decodes prompts.
    heads
        Heads that judge the model's masks, or a ``ProposalHeads`` that says that there are none.
    mask_threshold
        Logit above which a pixel belongs to a mask.
    max_hole_area, max_sprinkle_area
        Largest area of a hole that is filled, and of a component of a mask that is removed, in
        low-resolution pixels.
    apply_postprocessing
        Whether the selected proposal replaces a single mask that is unstable.
    smallest
        Smallest model of the family, whose encoder shows whether an image is unlike the training
        images of the heads. None if ``sam`` is that model, or if the heads do not know their
        training images.
    """

    def __init__(
        self,
        sam: Sam,
        heads: ProposalHeads,
        mask_threshold: float = 0.0,
        max_hole_area: float = 0.0,
        max_sprinkle_area: float = 0.0,
        *,
        apply_postprocessing: bool = True,
        smallest: Sam | None = None,
    ) -> None:
        self.sam = sam
        self.heads = heads
        self.smallest = smallest
        self.stored_images: StoredImages | None = None
        """Embeddings that were computed before: ``set_image`` does not encode their images."""
        self.postprocessing = Postprocessing(
            mask_threshold, max_hole_area, max_sprinkle_area, apply_postprocessing
        )
        self.reset_predictor()

    @classmethod
    def from_pretrained(
        cls,
        model_id: str,
        **options: Any,  # noqa: ANN401 - those of load_predictor
    ) -> "UncertainPredictor":
        """Load a model by its name on Hugging Face, as ``usam_cache.from_pretrained`` does."""
        # By name: files are found and read in packages that import this one.
        loaded: UncertainPredictor = import_module("usam_cache").from_pretrained(
            model_id, **options
        )
        return loaded

    @property
    def mask_threshold(self) -> float:
        """Logit above which a pixel belongs to a mask."""
        return self.postprocessing.mask_threshold

    @property
    def model(self) -> nn.Module:
        """The model as a module of the package ``sam2``."""
        model: nn.Module = self.sam.model
        return model

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.sam.device

    @property
    def n_encoded_bytes(self) -> int:
        """Size in bytes of the embeddings of all images that are set."""
        return sum(image.embedding.n_bytes for image in self._images)

    def reset_predictor(self) -> None:
        """Forget all images that are set."""
        self._images: tuple[EncodedImage, ...] = ()
        self._is_batch = False

    def set_image(self, image: np.ndarray | Image) -> None:
        """Encode the image for later predictions, which are about this image alone.

        Parameters
        ----------
        image
            Array ``(height, width, 3)`` of bytes in 0..255 or of floats in 0..1, or a PIL image in
            mode RGB.

        Raises
        ------
        TypeError
            If the image is neither an array nor a PIL image.
        ValueError
            If the image has another shape, mode, type or scale.
        """
        self._set([image], is_batch=False)

    def set_embedding(
        self, embedding: StoredEmbedding, image: np.ndarray | Image | None = None
    ) -> None:
        """Take an image's embedding from a store, for later predictions, instead of encoding it.

        Parameters
        ----------
        embedding
            Embedding of the image, from ``read_embedding``. It must be by the predictor's model,
            which is not checked.
        image
            The image in bytes; images of floats are refused. Without ``image``, a model that is not
            the smallest of its family leaves ``unlike_training`` None, unless ``stored_images`` has
            the statistics of the image.

        Raises
        ------
        TypeError, ValueError
            If the embedding is not one of a store, or ``set_image`` would refuse the image.
        ValueError
            If the embedding is of another precision than the model, or of other pixels than
            ``image``.
        """
        self.reset_predictor()
        check_embedding(embedding, self.sam.precision)
        rgb = None if image is None else rgb_of(image)
        if rgb is not None and _digest(rgb) != embedding.pixels_sha256:
            raise ValueError("embedding must be of the same pixels as the image, got of others")
        self._images = (self._restored(embedding, rgb),)

    def set_image_batch(self, image_list: Sequence[np.ndarray | Image]) -> None:
        """Encode images of any sizes, for ``predict_batch``; each as ``set_image`` takes it."""
        self._set(image_list, is_batch=True)

    def _set(self, images: Sequence[np.ndarray | Image], *, is_batch: bool) -> None:
        self.reset_predictor()
        pixels = [rgb_of(image) for image in images]
        restored = [self.stored_image(rgb) for rgb in pixels]
        encoded = self._encoded(
            [rgb for rgb, image in zip(pixels, restored, strict=True) if image is None]
        )
        self._images = tuple(image or next(encoded) for image in restored)
        self._is_batch = is_batch

    def stored_image(self, rgb: Rgb) -> EncodedImage | None:
        """The image with its embedding from a store; None if no store has it, as for floats."""
        digest = "" if self.stored_images is None else _digest(rgb)
        if self.stored_images is None or not digest:
            return None
        embedding = self.stored_images.embedding(digest)
        return None if embedding is None else self._restored(embedding, rgb)

    def _encoded(self, pixels: Sequence[Pixels]) -> Iterator[EncodedImage]:
        step = max(1, _ENCODED_PIXELS // self.sam.image_size_px**2)
        with own_precision(self.device):
            embeddings = [
                embedding
                for start in range(0, len(pixels), step)
                for embedding in self.sam.encode_batch(pixels[start : start + step])
            ]
        return map(EncodedImage, pixels, embeddings, repeat(self.smallest))

    def _restored(self, embedding: StoredEmbedding, rgb: Rgb | None) -> EncodedImage:
        # The store's size of the image is part of no digest, but the pixels are.
        if rgb is not None:
            embedding = replace(embedding, size_px=(rgb.shape[0], rgb.shape[1]))
        statistics = None
        if self.smallest is None:
            statistics = np.concatenate([*embedding.statistics.values()])
        elif self.stored_images is not None:
            statistics = self.stored_images.smallest_statistics(embedding.pixels_sha256)
        with own_precision(self.device):
            restored = self.sam.restore(embedding)
        return EncodedImage(rgb, restored, self.smallest, statistics)

    def get_image_embedding(self) -> Float[Tensor, "image channel rows cols"]:
        """Embedding of the image that is set, or of each image of ``set_image_batch``.

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

        Masks are floats: 1 in the mask, 0 outside. Logits are clipped to [-32, 32].

        Parameters
        ----------
        point_coords, point_labels, box, mask_input
            See ``PromptSet``; for several prompt sets, each has an additional first dimension.
        multimask_output
            Whether to return three proposals instead of the single mask. If the single mask is
            unstable, the selected proposal replaces it, as in models of ``build_sam2``.
        return_logits
            Whether to return logits at image resolution instead of masks.
        normalize_coords
            Whether coordinates are in pixels of the image; otherwise they are fractions of its
            width and height.

        Raises
        ------
        RuntimeError
            If no image was set, or images were set by ``set_image_batch``.
        ValueError
            If a prompt has another shape, a label is unknown, a number is not finite, or a prompt
            does not fit the other prompts.
        """
        prompt_set = PromptSet(point_coords, point_labels, box, mask_input)
        output = multimask_output, return_logits, normalize_coords
        return self._predict(self._image(), prompt_set, *output)

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
        """Masks, SamScores and low-resolution logits for each image of ``set_image_batch``.

        Parameters
        ----------
        point_coords_batch, point_labels_batch, box_batch, mask_input_batch
            For each image, the argument of ``predict``.
        multimask_output, return_logits, normalize_coords
            As for ``predict``.

        Raises
        ------
        RuntimeError
            If no images were set by ``set_image_batch``.
        ValueError
            If ``predict`` would refuse a prompt, or the number of prompts is not the number of
            images.
        """
        images = self._images
        if not self._is_batch:
            raise RuntimeError(
                "images must be set by set_image_batch before predictions about many, got "
                f"{'one by set_image' if images else 'none'}"
            )
        arguments = (point_coords_batch, point_labels_batch, box_batch, mask_input_batch)
        for batch in arguments:
            if batch is not None and len(batch) != len(images):
                raise ValueError(f"prompts must be of {len(images)} images, got {len(batch)}")
        columns = [repeat(None, len(images)) if batch is None else batch for batch in arguments]
        output = multimask_output, return_logits, normalize_coords
        predictions = [
            self._predict(image, PromptSet(*prompt), *output)
            for image, *prompt in zip(images, *columns, strict=True)
        ]
        masks, sam_scores, logits = map(list, zip(*predictions, strict=True))
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
        """Predict three proposals for one prompt set, and how wrong each may be.

        Parameters
        ----------
        point_coords, point_labels, box, mask_input
            Arguments of ``predict``, for one prompt set.
        costs
            Gain in IoU that a correction must exceed to be advised.

        Raises
        ------
        RuntimeError
            If no image was set, or images were set by ``set_image_batch``.
        ValueError
            If the prompts have other shapes, are of several prompt sets, point to no object, or lie
            beyond the image, or if the model answers with NaN.
        """
        prompt_set = PromptSet(point_coords, point_labels, box, mask_input)
        (uncertainty,) = self.predict_uncertainties([prompt_set], costs=costs)
        return uncertainty

    def predict_uncertainties(
        self,
        prompt_sets: Sequence[PromptSet],
        *,
        costs: Costs = Costs(),  # noqa: B008 - it is frozen
        mask_size_px: tuple[int, int] | None = None,
    ) -> list[Uncertainty]:
        """Predict as ``predict_uncertainty`` does, for many prompt sets in few decoder calls.

        Parameters
        ----------
        prompt_sets
            Prompt sets about the image of ``set_image`` or ``set_embedding``; kinds may differ.
        costs
            Gain in IoU that a correction must exceed to be advised.
        mask_size_px
            Height and width of the masks; by default the size of the image.

        Returns
        -------
        An uncertainty for each prompt set, in their order.

        Raises
        ------
        RuntimeError, ValueError
            If ``predict_uncertainty`` would raise this error for one of the prompt sets.
        """
        size_px, side = self._image().embedding.size_px, self.sam.mask_size_px
        parsed = [parse_one(prompts, size_px, mask_size_px=side) for prompts in prompt_sets]
        return self.answers(parsed, costs, mask_size_px)

    def answers(
        self,
        prompts: Sequence[DecoderPrompts],
        costs: Costs,
        mask_size_px: tuple[int, int] | None = None,
    ) -> list[Uncertainty]:
        """Answer prompt sets that ``parse_one`` has checked, as ``predict_uncertainties`` does."""
        image, sam = self._image(), self.sam
        answers: dict[int, Uncertainty] = {}
        with own_precision(self.device):
            unlike_training = self.heads.unlike_training(image)
            for numbers in _calls(prompts, sam):
                of_call = [prompts[i] for i in numbers]
                uncertainties = read_uncertainty(
                    sam.decode(image.embedding, **vars(joined(of_call))),
                    self.heads,
                    size_px=mask_size_px or image.embedding.size_px,
                    costs=costs,
                    permissions=[
                        permitted(
                            self.heads,
                            prompt.names,
                            unlike_training=unlike_training,
                            prompt_caution=prompt.caution(self.heads.prompts),
                        )
                        for prompt in of_call
                    ],
                    postprocessing=self.postprocessing,
                )
                answers.update(zip(numbers, uncertainties, strict=True))
        return [answers[i] for i in range(len(prompts))]

    def _predict(
        self,
        image: EncodedImage,
        prompt_set: PromptSet,
        multimask_output: bool,  # noqa: FBT001 - as predict has them
        return_logits: bool,  # noqa: FBT001
        normalize_coords: bool,  # noqa: FBT001
    ) -> Prediction:
        height, width = image.embedding.size_px
        scale = (1, 1) if normalize_coords else (width, height)
        prompts = parse_prompts(prompt_set, scale=scale, mask_size_px=self.sam.mask_size_px)
        with own_precision(self.device):
            if multimask_output:
                proposals = self.sam.decode(image.embedding, **vars(prompts))
                logits, sam_score = proposals.logits, proposals.sam_score
            else:
                logits, sam_score = single_masks(
                    self.sam, image.embedding, prompts, self.postprocessing
                )
            if return_logits:
                patched = on_image(self.postprocessing.patched(logits), image.embedding.filled)
                masks = at_image(patched, image.embedding.size_px).cpu().numpy()
            else:
                masks = self.postprocessing.masks_at(
                    logits, image.embedding.size_px, image.embedding.filled
                ).astype(np.float32)
            arrays = masks, sam_score.cpu().numpy(), bounded(logits).cpu().numpy()
        return arrays if prompts.n_sets > 1 else (arrays[0][0], arrays[1][0], arrays[2][0])

    def _image(self) -> EncodedImage:
        """The one image that is set; a RuntimeError if there is none, or a batch of images."""
        if self._is_batch:
            n_images = len(self._images)
            raise RuntimeError(
                f"an image must be set by set_image before a prediction, got {n_images} by "
                "set_image_batch: set one, or call predict_batch for masks alone"
            )
        if not self._images:
            raise RuntimeError("an image must be set by set_image before a prediction, got none")
        return self._images[0]


def _digest(rgb: Rgb) -> str:
    """Digest of an image's pixels; empty for floats, of which no store has an embedding."""
    return pixels_sha256(rgb) if rgb.dtype == np.uint8 else ""


def _calls(prompts: Sequence[DecoderPrompts], sam: Sam) -> Iterator[list[int]]:
    """Yield, for each decoder call, the indices of its prompt sets, which are of one kind."""
    batch = decoder_batch("auto", device=sam.device.type, mask_size_px=sam.mask_size_px)
    by_kind: dict[tuple[Kind, bool], list[int]] = {}
    for i, prompt in enumerate(prompts):
        kind = prompt.kind, sam.is_padded_by_point(prompt.labels)
        by_kind.setdefault(kind, []).append(i)
    for numbers in by_kind.values():
        for start in range(0, len(numbers), batch):
            yield numbers[start : start + batch]


def single_masks(
    sam: Sam, embedding: Embedding, prompts: DecoderPrompts, postprocessing: Postprocessing
) -> tuple[Float[Tensor, "prompt 1 y x"], Float[Tensor, "prompt 1"]]:
    """Low-resolution logits and SamScore of a single mask for each prompt set.

    If a single mask is unstable, the selected proposal replaces it, as
    ``dynamic_multimask_via_stability`` of SAM2's decoder does with the settings of ``build_sam2``.
    A second call decodes the proposals only if a single mask is unstable.
    """
    single = sam.decode(embedding, **vars(prompts), multimask_output=False)
    is_stable = _is_stable(single.logits)
    if not postprocessing.apply_postprocessing or is_stable.cpu().all():
        return single.logits, single.sam_score
    proposals = sam.decode(embedding, **vars(prompts))
    sam_score = proposals.sam_score.amax(1, keepdim=True)
    return (
        torch.where(is_stable[..., None, None], single.logits, proposals.selected_logits[:, None]),
        torch.where(is_stable, single.sam_score, sam_score),
    )


def _is_stable(logits: Float[Tensor, "prompt 1 y x"]) -> Bool[Tensor, "prompt 1"]:
    inner, outer = ((logits > cut).sum((-2, -1)) for cut in (STABILITY_DELTA, -STABILITY_DELTA))
    # An empty mask is stable.
    return torch.where(outer > 0, inner / outer, 1) >= LEAST_STABILITY
