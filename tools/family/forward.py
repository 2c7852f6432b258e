"""SAM2 with gradients: images are encoded once, and every round of prompts is decoded from that."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, UInt8
from torch import Tensor

from pipeline.sam.families import IMAGENET_MEAN, IMAGENET_STD
from tools.family.batches import Frame

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


@dataclass(frozen=True)
class Encoded:
    """Images for the decoder."""

    levels: tuple[Float[Tensor, "image channel y x"], ...]
    """The finest first."""
    position: Float[Tensor, "1 channel y x"]
    """Encoding of the places of the last level."""
    place_px: tuple[int, int]
    """Where (x, y) the images lie in the frame that places are of."""


def encode(
    model: Network, rgb: UInt8[np.ndarray, "image size size 3"], frame: Frame | None = None
) -> Encoded:
    """Levels of the encoder; the model is set to the size of the images, or their frame's."""
    size_px = rgb.shape[1]
    frame = frame or Frame(size_px, (0, 0))
    model.image_size = size_px
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    pixels = torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 255
    levels = model.forward_image((pixels - mean) / std)["backbone_fpn"]
    levels[-1] = levels[-1] + model.no_mem_embed.view(1, -1, 1, 1)
    prompts, n_cells = model.sam_prompt_encoder, size_px // model.backbone_stride
    prompts.input_image_size = (frame.size_px, frame.size_px)
    prompts.image_embedding_size = 2 * (frame.size_px // model.backbone_stride,)
    x, y = (place // model.backbone_stride for place in frame.place_px)
    position = prompts.get_dense_pe()[:, :, y : y + n_cells, x : x + n_cells]
    prompts.image_embedding_size = (n_cells, n_cells)
    return Encoded(tuple(levels), position, frame.place_px)


def decode(model: Network, encoded: Encoded, prompts: Prompts) -> Answer:
    """All four masks of every prompt set."""
    n_prompt_sets = len(prompts.point_px) // len(encoded.levels[0])
    first, second, image = (
        level.repeat_interleave(n_prompt_sets, dim=0) for level in encoded.levels
    )
    placed = prompts.point_px + np.array(encoded.place_px, np.float32)
    clicks = torch.from_numpy(placed), torch.from_numpy(prompts.label)
    sparse, dense = model.sam_prompt_encoder(clicks, boxes=None, masks=prompts.logits)
    logits, sam_score, _, object_score = model.sam_mask_decoder.predict_masks(
        image_embeddings=image,
        image_pe=encoded.position,
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        repeat_image=False,
        high_res_features=[first, second],
    )
    return Answer(logits, sam_score, object_score[:, 0])
