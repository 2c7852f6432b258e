"""SAM2 with gradients: a batch of images and clicks in, logits and SamScores out."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from pipeline.sam.model import PIXEL_MEAN, PIXEL_STD

Network = Any
"""A ``SAM2Base``: ``sam2`` ships no types, and only this sub-package imports it."""


def forward(
    model: Network,
    rgb: UInt8[np.ndarray, "image size size 3"],
    point_px: Float32[np.ndarray, "row click 2"],
) -> tuple[Float[Tensor, "row 3 y x"], Float[Tensor, "row 3"]]:
    """Logits and SamScores of foreground clicks; the model is set to the size of the images.

    Parameters
    ----------
    point_px
        One prompt set per row: equally many for each image, in consecutive rows.
    """
    _set_image_size(model, rgb.shape[1])
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (PIXEL_MEAN, PIXEL_STD))
    pixels = torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 255
    levels = model.forward_image((pixels - mean) / std)["backbone_fpn"]
    levels[-1] = levels[-1] + model.no_mem_embed.view(1, -1, 1, 1)
    n_prompt_sets = len(point_px) // len(rgb)
    first, second, image = (level.repeat_interleave(n_prompt_sets, dim=0) for level in levels)
    points = torch.from_numpy(point_px)
    labels = torch.ones(points.shape[:2], dtype=torch.int32)
    sparse, dense = model.sam_prompt_encoder((points, labels), boxes=None, masks=None)
    logits, sam_score, _, _ = model.sam_mask_decoder(
        image_embeddings=image,
        image_pe=model.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
        repeat_image=False,
        high_res_features=[first, second],
    )
    return logits, sam_score


def _set_image_size(model: Network, size_px: int) -> None:
    """Make a model take images of another size; no weight depends on it."""
    n_cells = size_px // model.backbone_stride
    model.image_size = size_px
    model.sam_prompt_encoder.input_image_size = (size_px, size_px)
    model.sam_prompt_encoder.image_embedding_size = (n_cells, n_cells)
