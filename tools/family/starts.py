"""Weights as a phase of the training changes them before it begins."""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from pipeline.sam.families import MiniTrunk

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

_TRUNK: Final = "image_encoder.trunk."
_BLOCKS: Final = f"{_TRUNK}blocks."
_NECK: Final = "image_encoder.neck.convs."
_BRANCH_ENDS: Final = (".attn.proj.", ".mlp.layers.1.")
"""Weights whose output a block adds to its input."""

PARTING_NOISE: Final = 0.5
"""Noise by which the two channels that were one are read differently, relative to the weights."""


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


def grown(
    weights: Mapping[str, Tensor], trunk: MiniTrunk, larger: MiniTrunk, seed: int
) -> dict[str, Tensor]:
    """Change the weights of one trunk so that a larger one computes the same with them.

    The larger trunk is as wide or twice as wide, and its stages have as many blocks or more.

    Notes
    -----
    A channel becomes two equal ones, which are read with noise that cancels out, so that they part
    in training (Chen, Goodfellow and Shlens 2016, "Net2Net"). A block that is added at the end of a
    stage adds nothing to its input at first.
    """
    if larger.width > trunk.width:
        generator = torch.Generator().manual_seed(seed)
        weights = {name: _widened(name, weight, generator) for name, weight in weights.items()}
    larger_weights = {k: weight for k, weight in weights.items() if not k.startswith(_BLOCKS)}
    for number, (old, is_new) in enumerate(_origins(trunk, larger)):
        prefix = f"{_BLOCKS}{old}."
        for name, weight in weights.items():
            if name.startswith(prefix):
                is_silent = is_new and any(end in name for end in _BRANCH_ENDS)
                larger_weights[f"{_BLOCKS}{number}.{name.removeprefix(prefix)}"] = (
                    torch.zeros_like(weight) if is_silent else weight.clone()
                )
    return larger_weights


def _origins(trunk: MiniTrunk, larger: MiniTrunk) -> list[tuple[int, bool]]:
    """For each block of the larger trunk, the block that it copies, and whether it is added."""
    starts = [sum(trunk.depths[:stage]) for stage in range(len(trunk.depths))]
    return [
        (start + min(block, depth - 1), block >= depth)
        for start, depth, n_blocks in zip(starts, trunk.depths, larger.depths, strict=True)
        for block in range(n_blocks)
    ]


def _widened(name: str, weight: Tensor, generator: torch.Generator) -> Tensor:
    """A weight of a trunk with twice as many channels, or of the neck that reads it."""
    if not name.startswith((_TRUNK, _NECK)):
        return weight
    if "pos_embed" in name:
        return weight.repeat_interleave(2, dim=1)
    if not name.startswith(_NECK):
        weight = weight.repeat_interleave(2, dim=0)
    if weight.ndim > 1 and "patch_embed" not in name:
        noise = torch.empty_like(weight).normal_(generator=generator)
        noise *= PARTING_NOISE * weight.std() / 2
        weight = torch.stack([weight / 2 + noise, weight / 2 - noise], dim=2).flatten(1, 2)
    if ".qkv." in name:
        # Attention divides by the root of a head's channels, of which there are twice as many.
        query, others = weight.tensor_split([len(weight) // 3])
        weight = torch.cat([query / 2**0.5, others])
    return weight
