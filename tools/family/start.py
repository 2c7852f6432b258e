"""Where the mini models start: with a decoder that already looks at the click."""

from collections.abc import Mapping
from typing import Final

from torch import Tensor

ATTENTION_SCALE: Final = 3.0
"""Scale of the tied projections, so that the click's own place gets most of the attention."""

NECK_SCALE: Final = 0.3
"""Scale of the neck, so that what an image shows does not drown out where it shows it."""

LABEL_SCALE: Final = 0.1
"""Scale of the embeddings that tell foreground clicks from others, so that place prevails."""

_CROSS: Final = ("cross_attn_token_to_image", "cross_attn_image_to_token", "final_attn")
_LABELS: Final = ("point_embeddings", "not_a_point_embed")


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
    if any(part in name for part in _CROSS):
        if ".k_proj." in name:
            name = name.replace(".k_proj.", ".q_proj.")
        if name.endswith(".q_proj.weight"):
            return ATTENTION_SCALE * weights[name]
    if "no_mask_embed" in name:
        return 0 * weights[name]
    if any(part in name for part in _LABELS):
        return LABEL_SCALE * weights[name]
    if ".neck.convs." in name:
        return NECK_SCALE * weights[name]
    return weights[name].clone()
