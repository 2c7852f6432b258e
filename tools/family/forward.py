"""SAM2 with gradients: images are encoded once, and every round of prompts is decoded from that."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, UInt8
from torch import Tensor

from pipeline.sam.model import PIXEL_MEAN, PIXEL_STD

Network = Any
"""A ``SAM2Base``: ``sam2`` ships no types."""


@dataclass(frozen=True)
class Prompts:
    """One prompt set per row: equally many for each image, in consecutive rows."""

    point_px: Float32[np.ndarray, "row click 2"]
    label: Int32[np.ndarray, "row click"]
    """0 background, 1 foreground, 2 and 3 the corners of a box, as the decoder takes them."""
    logits: Float[Tensor, "row 1 y x"] | None = None
    """Mask of the round before."""


@dataclass(frozen=True)
class Answer:
    """What the decoder returns; mask 0 is the single one, the three proposals follow."""

    logits: Float[Tensor, "row 4 y x"]
    sam_score: Float[Tensor, "row 4"]
    object_score: Float[Tensor, " row"]


def encode(model: Network, rgb: UInt8[np.ndarray, "image size size 3"]) -> list[Tensor]:
    """Levels of the encoder, the finest first; the model is set to the size of the images."""
    _set_image_size(model, rgb.shape[1])
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (PIXEL_MEAN, PIXEL_STD))
    pixels = torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 255
    levels: list[Tensor] = model.forward_image((pixels - mean) / std)["backbone_fpn"]
    levels[-1] = levels[-1] + model.no_mem_embed.view(1, -1, 1, 1)
    return levels


def decode(model: Network, levels: list[Tensor], prompts: Prompts) -> Answer:
    """All four masks of every prompt set."""
    n_prompt_sets = len(prompts.point_px) // len(levels[0])
    first, second, image = (level.repeat_interleave(n_prompt_sets, dim=0) for level in levels)
    clicks = torch.from_numpy(prompts.point_px), torch.from_numpy(prompts.label)
    sparse, dense = model.sam_prompt_encoder(clicks, boxes=None, masks=prompts.logits)
    logits, sam_score, _, object_score = model.sam_mask_decoder.predict_masks(
        image_embeddings=image,
        image_pe=model.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        repeat_image=False,
        high_res_features=[first, second],
    )
    return Answer(logits, sam_score, object_score[:, 0])


def _set_image_size(model: Network, size_px: int) -> None:
    """Make a model take images of another size; no weight depends on it."""
    n_cells = size_px // model.backbone_stride
    model.image_size = size_px
    model.sam_prompt_encoder.input_image_size = (size_px, size_px)
    model.sam_prompt_encoder.image_embedding_size = (n_cells, n_cells)
