"""Renames weights in files of ``transformers`` to the names that ``sam2`` gives them."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import torch
from torch import Tensor

Rules = Iterable[tuple[str, str]]
"""Regular expressions and their replacements, applied to a weight's name one after the other."""

NO_MEMORY: Final = "no_memory_embedding"
"""End of the name of a weight that every file of ``transformers`` has, and no file of Meta."""

_PARTS: Final = (
    # SAM 3's file has the tracker, which answers clicks, and the detector, which reads texts.
    (r"^(tracker_model\.)+", ""),  # transformers 5.24 writes this prefix twice
    (r"^tracker_neck\.", "vision_encoder.neck."),
    (r"^detector_model\.vision_encoder\.backbone\.", "vision_encoder.backbone."),
    (r"^vision_encoder\.", "image_encoder.vision_encoder."),
    (rf"^{NO_MEMORY}$", "no_mem_embed"),
    (r"^(prompt_encoder|mask_decoder)\.", r"sam_\1."),
    (
        r"^(shared_image_embedding|sam_prompt_encoder\.shared_embedding)\.positional_embedding$",
        "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    ),
)

_PROMPT_ENCODER: Final = (
    (r"\.mask_embed\.conv1\.", ".mask_downscaling.0."),
    (r"\.mask_embed\.layer_norm1\.", ".mask_downscaling.1."),
    (r"\.mask_embed\.conv2\.", ".mask_downscaling.3."),
    (r"\.mask_embed\.layer_norm2\.", ".mask_downscaling.4."),
    (r"\.mask_embed\.conv3\.", ".mask_downscaling.6."),
)

_MASK_DECODER: Final = (
    (r"\.mlp\.proj_out\.", ".mlp.layers.1."),
    (r"\.layers\.0\.(weight|bias)$", r".layers.1.\1"),  # the middle layer of three
    (r"\.proj_in\.", ".layers.0."),
    (r"\.proj_out\.", ".layers.2."),
    (r"\.o_proj\.", ".out_proj."),
    (r"\.layer_norm(_final_attn|\d)\.", r".norm\1."),
    (r"\.upscale_conv1\.", ".output_upscaling.0."),
    (r"\.upscale_layer_norm\.", ".output_upscaling.1."),
    (r"\.upscale_conv2\.", ".output_upscaling.3."),
)

_HIERA: Final = (
    (r"\.vision_encoder\.backbone\.", ".trunk."),
    (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
    (r"\.layer_norm(\d)\.", r".norm\1."),
    (r"\.mlp\.proj_in\.", ".mlp.layers.0."),
    (r"\.mlp\.proj_out\.", ".mlp.layers.1."),
    (r"\.vision_encoder\.neck\.convs\.(\d)\.", r".neck.convs.\1.conv."),
)
"""Rules for SAM 2's image encoder, which ``sam2`` implements. Other encoders run in
``transformers``, so their weights keep their names."""


def is_of_transformers(weights: Iterable[str]) -> bool:
    """Whether names of weights are those of a file of ``transformers``."""
    return any(name.endswith(NO_MEMORY) for name in weights)


def renamed(weights: Mapping[str, Tensor], *, hiera: bool) -> dict[str, Tensor]:
    """Rename the weights of a file of ``transformers`` as ``sam2`` does.

    Weights for texts and video are not removed.

    Parameters
    ----------
    hiera
        Whether the image encoder is a Hiera, which ``sam2`` implements.

    >>> name = "tracker_model.tracker_model.mask_decoder.iou_prediction_head.proj_out.bias"
    >>> list(renamed({name: torch.ones(4)}, hiera=False))
    ['sam_mask_decoder.iou_prediction_head.layers.2.bias']
    """
    rules = {
        "sam_prompt_encoder.": _PROMPT_ENCODER,
        "sam_mask_decoder.": _MASK_DECODER,
        "image_encoder.": _HIERA if hiera else (),
    }
    named: dict[str, Tensor] = {}
    for theirs, weight in weights.items():
        name = _substituted(theirs, _PARTS)
        name = _substituted(name, rules.get(name.partition(".")[0] + ".", ()))
        if not torch.equal(named.setdefault(name, weight), weight):
            # The position codes of cells and of clicks differ, which no model here allows: the
            # extra weight is refused later as unknown.
            named[f"sam_prompt_encoder.{theirs}"] = weight
    points = named.pop("sam_prompt_encoder.point_embed.weight", torch.empty(0))
    for i, point in enumerate(points):
        named[f"sam_prompt_encoder.point_embeddings.{i}.weight"] = point[None]
    return named


def _substituted(name: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
