"""Weights as a phase of the training changes them before it begins."""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

ATTENTION_SCALE: Final = 3.0
"""Scale of the tied projections, so that the click's own place gets most of the attention."""

NECK_SCALE: Final = 0.3
"""Scale of the neck, so that what an image shows does not drown out where it shows it."""

LABEL_SCALE: Final = 0.1
"""Scale of the embeddings that tell foreground clicks from others, so that place prevails."""

_CROSS: Final = ("cross_attn_token_to_image", "cross_attn_image_to_token", "final_attn")
_LABELS: Final = ("point_embeddings", "not_a_point_embed")
_UNTAUGHT_LABELS: Final = tuple(f"point_embeddings.{label}." for label in (0, 2, 3))

_OF_MASKS: Final = ("mask_tokens.weight", "iou_prediction_head.layers.2.")
"""Weights with a row for each mask, the single one first."""

_SINGLE_MASK: Final = "output_hypernetworks_mlps.0."
_FIRST_PROPOSAL: Final = "output_hypernetworks_mlps.1."


def attentive(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Change freshly built weights so that tokens and image attend to each other by place.

    Notes
    -----
    As built, queries and keys of the decoder's cross-attention are unrelated, and a click leaves
    hardly a trace in the logits. Training first removes that trace as noise, and ends with a model
    that segments whatever is salient, wherever the click is. With equal projections, the product
    of two position encodings peaks where they agree.
    """
    return {name: _attentive(name, weights) for name in weights}


def _attentive(name: str, weights: Mapping[str, Tensor]) -> Tensor:
    if any(fragment in name for fragment in _CROSS):
        if ".k_proj." in name:
            name = name.replace(".k_proj.", ".q_proj.")
        if name.endswith(".q_proj.weight"):
            return ATTENTION_SCALE * weights[name]
    if "no_mask_embed" in name:
        return 0 * weights[name]
    if any(fragment in name for fragment in _LABELS):
        return LABEL_SCALE * weights[name]
    if ".neck.convs." in name:
        return NECK_SCALE * weights[name]
    return weights[name].clone()


def versatile(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Change weights that know proposals of foreground clicks so that the rest is soon learned.

    Notes
    -----
    Labels of background clicks and corners become as large as the encodings of places: at
    ``LABEL_SCALE`` of that, a few hundred steps left them unlearned, and a box was two clicks. The
    single mask begins as the first proposal.
    """
    return {name: _versatile(name, weights) for name in weights}


def _versatile(name: str, weights: Mapping[str, Tensor]) -> Tensor:
    if any(fragment in name for fragment in _UNTAUGHT_LABELS):
        return weights[name] / LABEL_SCALE
    if any(fragment in name for fragment in _OF_MASKS):
        return torch.cat([weights[name][1:2], weights[name][1:]])
    return weights[name.replace(_SINGLE_MASK, _FIRST_PROPOSAL)].clone()
