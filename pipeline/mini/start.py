"""Where the mini models start: with a decoder that already looks at the click."""

from collections.abc import Mapping
from typing import Final

from torch import Tensor

ATTENTION_SCALE: Final = 3.0
"""Of the tied projections: the click's own place gets most of the attention."""

NECK_SCALE: Final = 0.3
"""Of the neck: what an image holds must not drown where in the image it is."""

LABEL_SCALE: Final = 0.1
"""Of the embeddings that tell foreground clicks from others: the place is the rest."""

_CROSS: Final = ("cross_attn_token_to_image", "cross_attn_image_to_token", "final_attn")
_LABELS: Final = ("point_embeddings", "not_a_point_embed")


def attentive(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as built, changed such that tokens and image attend to each other by place.

    Notes
    -----
    As built, queries and keys of the decoder's cross-attention are unrelated, and a click leaves
    hardly a trace in the logits. Training then removes that trace first, as a click that says
    nothing is noise, and is left with a model that segments what is salient, wherever the click
    is. With equal projections the product of two position encodings peaks where they agree.
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
