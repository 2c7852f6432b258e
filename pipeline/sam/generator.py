"""SAM2's automatic mask generator on our decoder, with the prediction behind each mask."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from torch import Tensor

from pipeline.sam.model import Decoded, Embedding, Sam
from pipeline.upsampling import at_image

Records = list[dict[str, Any]]
"""Masks as ``SAM2AutomaticMaskGenerator.generate`` returns them."""

Read = Callable[[Decoded], Float32[np.ndarray, "row number"]]
"""What is to be kept of each proposal of a decoder call, all proposals of a prompt together."""

UNKNOWN: Final = ("model", "multimask_output", "use_m2m", "min_mask_region_area", "kwargs")
"""Parameters of the official generator that are none here: heads know the three proposals of one
click, not single or refined masks, and what is patched up later is no mask of the decoder."""


class MaskGenerator:
    """The official generator, which calls a predictor of ours instead of its own.

    Where that returns its masks at low resolution, which the generator filters and joins like all
    else of a mask but never looks at, ours returns what was read of them.

    Parameters
    ----------
    options
        As the generator takes them.

    Raises
    ------
    ValueError
        If an option is unknown.
    """

    def __init__(self, sam: Sam, read: Read, options: Mapping[str, Any]) -> None:
        official = inspect.signature(SAM2AutomaticMaskGenerator).parameters
        known = [name for name in official if name not in UNKNOWN]
        for name in options:
            if name not in known:
                raise ValueError(f"option must be one of {', '.join(known)}, got {name}")
        with warnings.catch_warnings():
            # It makes a predictor, whose transforms are scripted, which torch deprecates.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._generator = SAM2AutomaticMaskGenerator(sam.model, **options)
        self._generator.predictor = _Predictor(sam, read)
        # Its records do not have what was read, but this does.
        self._masks_of = self._generator._generate_masks  # noqa: SLF001

    @torch.inference_mode()
    def generate(
        self, rgb: UInt8[np.ndarray, "height width 3"]
    ) -> tuple[Records, Float32[np.ndarray, "record number"]]:
        """Masks of everything in an image, as the official generator returns them, and what was
        read of each.
        """
        masks = self._masks_of(rgb)
        self._generator._generate_masks = lambda _: masks  # noqa: SLF001
        records: Records = self._generator.generate(rgb)
        read: Float32[np.ndarray, "record number"] = masks["low_res_masks"]
        return records, read


class _Predictor:
    """What the generator calls of ``SAM2ImagePredictor``, with the decoder behind it."""

    def __init__(self, sam: Sam, read: Read) -> None:
        self._sam = sam
        self._read = read
        self._embedding: Embedding | None = None
        self._transforms = self

    @property
    def device(self) -> torch.device:
        return self._sam.device

    def set_image(self, rgb: UInt8[np.ndarray, "height width 3"]) -> None:
        self._embedding = self._sam.encode(np.ascontiguousarray(rgb))

    def reset_predictor(self) -> None:
        self._embedding = None

    def transform_coords(self, points: Tensor, **_: object) -> Tensor:
        """Points in pixels of the image, as the decoder takes them."""
        return points

    def _predict(
        self, points: Float[Tensor, "prompt 1 2"], labels: Int[Tensor, "prompt 1"], **_: object
    ) -> tuple[Tensor, Tensor, Tensor]:
        assert self._embedding is not None  # the generator has set the image
        decoded = self._sam.decode(
            self._embedding, points.cpu().numpy(), labels=labels.cpu().numpy()
        )
        masks = at_image(decoded.logits, self._embedding.size_px)
        read = torch.from_numpy(self._read(decoded))
        return masks, decoded.sam_score, read.reshape(*decoded.sam_score.shape, -1)
