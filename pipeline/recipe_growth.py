"""Growth: a larger mini model that says what a smaller one says, to learn on from there."""

import re
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from pipeline.families import MiniTrunk

UNEVENNESS: Final = 0.25
"""How far the shares that copies of a channel take may be from equal ones, relatively."""

_BLOCK: Final = re.compile(r"image_encoder\.trunk\.blocks\.(\d+)\.(.+)")
_NECK: Final = re.compile(r"image_encoder\.neck\.convs\.\d+\.conv\.weight")
_BRANCH_ENDS: Final = ("attn.proj.", "mlp.layers.1.")
"""Layers that write to the residual stream: zero in a new block, which then passes all on."""


def grow(
    weights: Mapping[str, Tensor],
    fresh: Mapping[str, Tensor],
    *,
    small: MiniTrunk,
    large: MiniTrunk,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Weights of a large model that compute what those of a small one compute.

    Parameters
    ----------
    weights
        Of the small model.
    fresh
        Of the large model as built: new blocks keep them, but for the layers that end a branch.

    Raises
    ------
    ValueError
        If the large trunk is shallower anywhere, or its width is no multiple of the small one's.

    Notes
    -----
    Net2Net (Chen, Goodfellow, Shlens 2016): channels are copied in turn, and the weights that
    read a channel are shared among its copies, unevenly, as equal copies would stay equal for
    ever. Only multiples of the width, as channels that count more often than others would change
    the layer norms.
    """
    is_shallower = any(new < old for old, new in zip(small.depths, large.depths, strict=True))
    if is_shallower or large.width % small.width:
        raise ValueError(
            f"trunk must be as deep as {small} or deeper, and a multiple as wide, got {large}"
        )
    grown: dict[str, Tensor] = {}
    for name, value in fresh.items():
        source = _source(name, small, large)
        if source is None:
            ends = any(end in name for end in _BRANCH_ENDS)
            grown[name] = torch.zeros_like(value) if ends else value.clone()
        elif weights[source].shape == value.shape:
            grown[name] = weights[source].clone()
        else:
            grown[name] = _widen(source, weights[source], value, large.width, generator)
    return grown


def _source(name: str, small: MiniTrunk, large: MiniTrunk) -> str | None:
    """Name in the small model of a weight of the large one; None in a new block."""
    match = _BLOCK.fullmatch(name)
    if match is None:
        return name
    block = int(match[1])
    small_start = 0
    for old, new in zip(small.depths, large.depths, strict=True):
        if block < new:
            break
        block -= new
        small_start += old
    if block >= old:
        return None
    return f"image_encoder.trunk.blocks.{small_start + block}.{match[2]}"


def _widen(
    name: str, value: Tensor, like: Tensor, head_width: int, generator: torch.Generator
) -> Tensor:
    """Give a weight the shape of ``like``, its channels copied or shared as its place asks."""
    if name.endswith(("pos_embed", "pos_embed_window")):
        return _copy(value, like.shape[1], 1)
    if _NECK.fullmatch(name):
        return _share(value, like.shape[1], 1, generator)
    if ".attn.qkv." in name:
        return _widen_qkv(value, like, head_width, generator)
    if name.endswith("attn.proj.weight"):
        n_heads = like.shape[1] // head_width
        by_head = _share(value.view(len(value), n_heads, -1), head_width, 2, generator)
        return _copy(by_head.flatten(1), like.shape[0], 0)
    copied = _copy(value, like.shape[0], 0)
    if copied.shape == like.shape:  # biases, norms, and the convolution that reads the image
        return copied
    return _share(copied, like.shape[1], 1, generator)


def _widen_qkv(value: Tensor, like: Tensor, head_width: int, generator: torch.Generator) -> Tensor:
    """Queries of copies are shared, keys and values copied: each head's products stay."""
    by_head = value.view(3, like.shape[0] // (3 * head_width), -1, *value.shape[1:])
    n_heads, old_width = by_head.shape[1:3]
    copied = _copy(by_head, head_width, 2)
    shares = _shares((n_heads, old_width), head_width, 1, generator)
    # The model divides the products by the root of the head's width, which is another now.
    shares *= (head_width / old_width) ** 0.5
    copied[0] *= shares.view(*shares.shape, *(1,) * (value.ndim - 1))
    widened = copied.flatten(0, 2)
    return _share(widened, like.shape[1], 1, generator) if value.ndim > 1 else widened


def _copy(value: Tensor, n: int, dim: int) -> Tensor:
    """Repeat channels in turn until there are ``n``."""
    return value.index_select(dim, torch.arange(n) % value.shape[dim])


def _share(value: Tensor, n: int, dim: int, generator: torch.Generator) -> Tensor:
    """Repeat channels in turn until there are ``n``; the copies of one sum up to it."""
    return _copy(value, n, dim) * _shares(tuple(value.shape), n, dim, generator)


def _shares(shape: tuple[int, ...], n: int, dim: int, generator: torch.Generator) -> Tensor:
    """Factors for ``n`` channels along ``dim``; those of the copies of one channel sum to 1."""
    sizes = [n if axis == dim else size for axis, size in enumerate(shape)]
    share = 1 + UNEVENNESS * (2 * torch.rand(sizes, generator=generator) - 1)
    source = torch.arange(n) % shape[dim]
    total = torch.zeros(shape).index_add_(dim, source, share)
    return share / total.index_select(dim, source)
