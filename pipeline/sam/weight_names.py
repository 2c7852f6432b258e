"""Renames weights in files of ``transformers``, of SAM 1 and of SAM 3.1, as ``sam2`` does."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
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
    (r"^vision_encoder\.neck\.fpn_layers\.3\.", "coarsest_level."),  # no click reads this level
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


INTERACTIVE: Final = "tracker.model.interactiv"
"""Prefix of the weights that answer clicks in Meta's file of SAM 3.1, which no other file has."""

_SAM31: Final = (
    (rf"^{INTERACTIVE}e_sam_(prompt_encoder|mask_decoder)\.", r"sam_\1."),
    (rf"^{INTERACTIVE}ity_no_mem_embed$", "no_mem_embed"),
    (r"^detector\.backbone\.vision_backbone\.trunk\.", "image_encoder.vision_encoder.backbone."),
    (
        r"^detector\.backbone\.vision_backbone\.interactive_convs\.",
        "image_encoder.vision_encoder.neck.fpn_layers.",
    ),
    (r"\.backbone\.pos_embed$", ".backbone.embeddings.position_embeddings"),
    (r"\.patch_embed\.proj\.", ".embeddings.patch_embeddings.projection."),
    (r"\.ln_pre\.", ".layer_norm."),
    (r"\.blocks\.(\d+)\.norm(\d)\.", r".layers.\1.layer_norm\2."),
    (r"\.blocks\.(\d+)\.attn\.proj\.", r".layers.\1.attention.o_proj."),
    (r"\.blocks\.(\d+)\.attn\.qkv\.", r".layers.\1.attention.qkv_proj."),
    (r"\.blocks\.(\d+)\.mlp\.", r".layers.\1.mlp."),
    (r"\.dconv_2x2(_0)?\.", ".scale_layers.0."),
    (r"\.dconv_2x2_1\.", ".scale_layers.2."),
    (r"\.conv_1x1\.", ".proj1."),
    (r"\.conv_3x3\.", ".proj2."),
)
"""Rules for Meta's file of SAM 3.1, whose image encoder runs in ``transformers``."""

SAM1: Final = "image_encoder.pos_embed"
"""End of the name of a weight that files of SAM 1 have, and no other file."""

_SAM1: Final = (
    (r"^sam\.", ""),  # of files that micro-sam writes while it trains
    (r"^(prompt_encoder|mask_decoder)\.", r"sam_\1."),
    (r"^sam_(.*)\.mlp\.lin1\.", r"sam_\1.mlp.layers.0."),
    (r"^sam_(.*)\.mlp\.lin2\.", r"sam_\1.mlp.layers.1."),
    (r"^image_encoder\.", "image_encoder.vision_encoder."),
    (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
    (r"\.blocks\.(\d+)\.norm(\d)\.", r".layers.\1.layer_norm\2."),
    (r"\.blocks\.(\d+)\.", r".layers.\1."),
    (r"\.neck\.0\.", ".neck.conv1."),
    (r"\.neck\.1\.", ".neck.layer_norm1."),
    (r"\.neck\.2\.", ".neck.conv2."),
    (r"\.neck\.3\.", ".neck.layer_norm2."),
)
"""Rules for files of SAM 1, whose image encoder runs in ``transformers``."""

Weights = Mapping[str, Tensor]


def renaming(weights: Iterable[str], *, hiera: bool) -> Callable[[Weights], Weights] | None:
    """Make the function that renames the weights of a file as ``sam2`` names them.

    None if the names are none of ``transformers``, of SAM 1 or of Meta's file of SAM 3.1.
    Weights for texts and video are not removed. ``hiera`` tells whether the image encoder is a
    Hiera, which ``sam2`` implements.

    >>> name = "tracker.model.interactive_sam_mask_decoder.iou_token.weight"
    >>> list(renaming([name], hiera=False)({name: torch.ones(1, 4)}))
    ['sam_mask_decoder.iou_token.weight']
    """
    names = list(weights)
    if any(name.endswith(NO_MEMORY) for name in names):
        return partial(_of_transformers, hiera=hiera)
    if any(name.endswith(SAM1) for name in names):
        return _of_sam1
    return _of_sam31 if any(name.startswith(INTERACTIVE) for name in names) else None


def _of_sam1(weights: Weights) -> Weights:
    named = {_substituted(name, _SAM1): weight for name, weight in weights.items()}
    # SAM 1 has no memory, and its decoder reads no finer levels of the image.
    width = named["sam_mask_decoder.iou_token.weight"].shape[1]
    named["no_mem_embed"] = torch.zeros(1, 1, width)
    for level, n_channels in (("conv_s0", width // 8), ("conv_s1", width // 4)):
        named[f"sam_mask_decoder.{level}.weight"] = torch.zeros(n_channels, width, 1, 1)
        named[f"sam_mask_decoder.{level}.bias"] = torch.zeros(n_channels)
    return named


def _of_sam31(weights: Weights) -> Weights:
    named: dict[str, Tensor] = {}
    for theirs, weight in weights.items():
        name = _substituted(theirs, _SAM31)
        if ".qkv_proj." in name:
            parts = {name.replace(".qkv_proj.", f".{part}_proj."): part for part in "qkv"}
            named |= dict(zip(parts, weight.chunk(3), strict=True))
        elif "freqs_cis" not in name:  # position codes are computed, not learned
            # The first row is the place of the class token, with which the trunk learned.
            named[name] = weight[:, 1:] if name.endswith("position_embeddings") else weight
    return named


def _of_transformers(weights: Weights, *, hiera: bool) -> Weights:
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
