"""SAM2's mask decoder for many prompt sets of one image: computes once what they share.

Applies the weights of a ``MaskDecoder`` in another order than its ``forward``. ``forward`` repeats
the image tokens for every prompt set and projects them in every attention.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear

from pipeline.sam.upscaling import Module, Upscaling, by_cell, normed

Tokens = Float[Tensor, "prompt token channel"]
Inner = Float[Tensor, "prompt token inner"]
"""Tokens projected to the inner width of an attention; its heads lie side by side."""

Cells = Float[Tensor, "prompt cell channel"]

Answer = tuple[
    Float[Tensor, "prompt proposal y x"],
    Float[Tensor, "prompt proposal"],
    Float[Tensor, "prompt token channel"],
    Float[Tensor, "prompt 1"] | None,
]
"""Result of a decoder call: logits, SamScores, tokens and, if predicted, object scores."""


@dataclass(frozen=True)
class SharedImage:
    """Tensors that all prompt sets of an image without a mask share; a cell is an image token.

    Attributes
    ----------
    cells
        The image tokens plus the dense embedding of prompt sets without a mask.
    keys
        For each attention from prompt tokens to cells, the cells' keys. The first are projections
        of cells and position code; in later layers, where cells differ by prompt set, the keys are
        projections of the position code alone, the same tensors for all images.
    queries
        For each attention from cells to prompt tokens, the cells' queries, projected like ``keys``.
    values
        Values of the cells, without the bias, for the first attention to the cells.
    coarse, fine
        Terms that the upscaling adds to the four quarters of each cell, and to the four quarters of
        each quarter.
    shape
        Rows and columns of cells.
    """

    cells: Float[Tensor, "cell channel"]
    keys: tuple[Float[Tensor, "head width cell"], ...]
    queries: tuple[Float[Tensor, "head width cell"], ...]
    values: Float[Tensor, "head cell width"]
    coarse: Float[Tensor, "cell coarse"]
    fine: Float[Tensor, "quarter fine"]
    shape: tuple[int, int]


class SharedDecoder:
    """Decodes many prompt sets of one image, without a mask; what they share is computed once.

    ``share`` computes the tensors that all prompt sets of an image share; ``decode`` gives logits,
    SamScores, tokens and, if the model predicts them, object scores of each prompt set.

    Parameters
    ----------
    decoder
        A ``MaskDecoder``, whose weights are used. It must have high-resolution features, which is
        not checked.
    position
        Position code of the cells.
    dtype
        Type in which cells are computed; the few prompt tokens are in single precision.

    Notes
    -----
    Cells are the tokens of the image. Prompt tokens are few and cells x are many, so projections of
    cells (queries, keys and values) are applied to the prompt tokens instead. A score q (K x + b)
    is (q K) x and a constant, which the softmax drops. The sum of values V x + b, weighted by
    weights a that sum to 1, is V (a x) + b.
    """

    def __init__(
        self,
        decoder: Module,
        *,
        position: Float[Tensor, "1 channel rows cols"],
        dtype: torch.dtype,
    ) -> None:
        self._decoder = decoder
        self._transformer = decoder.transformer
        self._n_heads = int(decoder.transformer.num_heads)
        self._dtype = dtype
        layers = self._transformer.layers
        to_cells = [layer.cross_attn_token_to_image for layer in layers]
        to_cells.append(self._transformer.final_attn_token_to_image)
        self._k_projs = [attention.k_proj for attention in to_cells]
        self._q_projs = [layer.cross_attn_image_to_token.q_proj for layer in layers]
        self._v_proj = to_cells[0].v_proj
        self._upscaling = Upscaling(decoder.output_upscaling, dtype)
        networks = (network.layers for network in decoder.output_hypernetworks_mlps)
        self._mask_layers = [_side_by_side(layers) for layers in zip(*networks, strict=True)]
        self._position = position.float().flatten(2)[0].mT
        self._later_keys = self._projected(self._k_projs[1:], self._position)
        self._later_queries = self._projected(self._q_projs[1:], self._position)

    def share(
        self,
        image: Float[Tensor, "1 channel rows cols"],
        *,
        dense: Float[Tensor, "1 channel rows cols"],
        high_res: tuple[Tensor, Tensor],
    ) -> SharedImage:
        """Compute the tensors that all prompt sets of an image without a mask share.

        ``dense`` is the dense embedding of prompt sets without a mask. ``high_res`` has the
        features of the encoder at four times, and at two times, the resolution of the cells.
        """
        shape = image.shape[2], image.shape[3]
        cells = (image + dense).float().flatten(2)[0].mT
        positioned = cells + self._position
        values = linear(cells, self._v_proj.weight)
        fine_bias, coarse_bias = self._upscaling.biases
        fine, coarse = by_cell(high_res[0].float(), shape), by_cell(high_res[1].float(), shape)
        return SharedImage(
            cells=cells.to(self._dtype),
            keys=(*self._projected(self._k_projs[:1], positioned), *self._later_keys),
            queries=(*self._projected(self._q_projs[:1], positioned), *self._later_queries),
            values=self._heads(values[None]).to(self._dtype).contiguous(),
            coarse=(coarse + coarse_bias).view(len(cells), -1).to(self._dtype),
            fine=(fine + fine_bias).view(4 * len(cells), -1).to(self._dtype),
            shape=shape,
        )

    def decode(
        self,
        shared: SharedImage,
        sparse: Float[Tensor, "prompt point channel"],
        *,
        multimask_output: bool,
    ) -> Answer:
        """Decode three proposals, or the single mask, for each prompt set without a mask.

        ``sparse`` are the embedded points of each prompt set.
        """
        decoder = self._decoder
        modules = [decoder.iou_token, decoder.mask_tokens]
        first = int(decoder.pred_obj_scores)
        if first:
            modules.insert(0, decoder.obj_score_token)
        outputs = torch.cat([module.weight for module in modules]).expand(len(sparse), -1, -1)
        tokens, cells = self._transform(shared, torch.cat([outputs, sparse], dim=1))
        masks = slice(1, decoder.num_mask_tokens) if multimask_output else slice(1)
        mask_tokens = tokens[:, first + 1 : first + 1 + decoder.num_mask_tokens]
        sam_score = decoder.iou_prediction_head(tokens[:, first])[:, masks]
        logits = self._upscaling.upscale(
            cells,
            self._mask_weights(mask_tokens[:, masks], masks).to(self._dtype),
            coarse=shared.coarse,
            fine=shared.fine,
            shape=shared.shape,
        )
        object_score = decoder.pred_obj_score_head(tokens[:, 0]) if first else None
        return logits, sam_score, tokens, object_score

    def _mask_weights(
        self, tokens: Float[Tensor, "prompt mask channel"], masks: slice
    ) -> Float[Tensor, "prompt mask fine_channel"]:
        """Weights of the upscaled channels; each mask token has a network of its own."""
        rows = tokens.transpose(0, 1)
        for i, (biases, weights) in enumerate(self._mask_layers):
            rows = torch.baddbmm(biases[masks], rows.relu() if i else rows, weights[masks])
        return rows.transpose(0, 1)

    def _transform(self, shared: SharedImage, prompts: Tokens) -> tuple[Tokens, Cells]:
        """Output tokens and cells of the two-way transformer."""
        tokens, placed, cells = prompts, prompts, None
        for i, layer in enumerate(self._transformer.layers):
            tokens = _mix(layer, tokens, placed)
            attention = layer.cross_attn_token_to_image
            tokens = layer.norm2(tokens + self._read(attention, tokens + prompts, shared, i, cells))
            tokens = layer.norm3(tokens + layer.mlp(tokens))
            placed = tokens + prompts
            cells = self._write(layer, (tokens, placed), shared, i, cells)
        assert cells is not None  # there are layers
        final, last = self._transformer.final_attn_token_to_image, len(shared.keys) - 1
        attended = self._read(final, placed, shared, last, cells)
        return self._transformer.norm_final_attn(tokens + attended), cells

    def _read(
        self, attention: Module, placed: Tokens, shared: SharedImage, i: int, cells: Cells | None
    ) -> Tokens:
        """Output of an attention of prompt tokens to cells, the ``i``-th in the transformer.

        The cells are the shared cells in the first layer (``cells`` is None), then the cells of
        each prompt set. ``placed`` are the prompt tokens with their position code.
        """
        queries = attention.q_proj(placed)
        scores = self._scores(queries, shared.keys[i], attention.k_proj.weight, cells)
        weights = scores.softmax(-1)
        if cells is None:
            values = torch.bmm(self._by_head(weights), shared.values).float()
        else:
            weighted_cells = self._by_head(torch.bmm(weights, cells)).float()
            values = torch.bmm(weighted_cells, self._split(attention.v_proj.weight).mT)
        joined = values.transpose(0, 1).reshape(*placed.shape[:2], -1)
        out: Tokens = attention.out_proj(joined + attention.v_proj.bias)
        return out

    def _write(
        self,
        layer: Module,
        prompts: tuple[Tokens, Tokens],
        shared: SharedImage,
        i: int,
        cells: Cells | None,
    ) -> Cells:
        """Cells of each prompt set after their attention to prompt tokens in the ``i``-th layer.

        ``prompts`` are the prompt tokens without and with their position code. In the first layer,
        ``cells`` is None: they are the shared cells.
        """
        (tokens, placed), attention = prompts, layer.cross_attn_image_to_token
        keys = attention.k_proj(placed)
        scores = self._scores(keys, shared.queries[i], attention.q_proj.weight, cells)
        weights = scores.view(len(scores), self._n_heads, -1, scores.shape[-1]).softmax(2)
        # The prompt tokens' values take over the output projection; each head gets an equal share
        # of its bias.
        out = self._split(attention.out_proj.weight.mT)
        moved = torch.bmm(self._heads(attention.v_proj(tokens)), out)
        moved = self._by_prompt(moved + attention.out_proj.bias / self._n_heads, len(tokens))
        written = torch.baddbmm(
            shared.cells[None] if cells is None else cells,
            weights.view_as(scores).mT,
            moved.to(self._dtype),
        )
        return normed(written, layer.norm4)

    def _scores(
        self, tokens: Inner, fixed: Tensor, weight: Tensor, cells: Cells | None
    ) -> Float[Tensor, "prompt row cell"]:
        """Attention scores between projected prompt tokens and cells; one row per head and token.

        Parameters
        ----------
        fixed
            Projection of the shared cells or, in later layers, of the position code.
        weight
            Weight of the projection of ``cells``.
        cells
            Cells of each prompt set, not yet projected; None while all prompt sets share the cells.
        """
        rows = self._heads(tokens) * fixed.shape[1] ** -0.5
        scores = self._by_prompt(torch.bmm(rows.to(self._dtype), fixed), len(tokens))
        if cells is None:
            return scores
        moved = self._by_prompt(torch.bmm(rows, self._split(weight)), len(tokens))
        return scores.baddbmm_(moved.to(self._dtype), cells.mT)

    def _projected(
        self, projections: Iterable[Module], positioned: Float[Tensor, "cell channel"]
    ) -> tuple[Float[Tensor, "head width cell"], ...]:
        return tuple(
            self._heads(project(positioned)[None]).mT.to(self._dtype).contiguous()
            for project in projections
        )

    def _heads(self, x: Inner) -> Float[Tensor, "head row width"]:
        return x.reshape(-1, self._n_heads, x.shape[-1] // self._n_heads).transpose(0, 1)

    def _split(self, weight: Float[Tensor, "inner channel"]) -> Float[Tensor, "head width channel"]:
        return weight.reshape(self._n_heads, -1, weight.shape[1])

    def _by_prompt(
        self, x: Float[Tensor, "head prompt_row n"], n_prompts: int
    ) -> Float[Tensor, "prompt head_row n"]:
        split = x.reshape(self._n_heads, n_prompts, -1, x.shape[-1])
        return split.transpose(0, 1).reshape(n_prompts, -1, x.shape[-1])

    def _by_head(self, x: Float[Tensor, "prompt head_row n"]) -> Float[Tensor, "head prompt_row n"]:
        split = x.reshape(len(x), self._n_heads, -1, x.shape[-1])
        return split.transpose(0, 1).reshape(self._n_heads, -1, x.shape[-1])


def _side_by_side(
    layers: Sequence[Module],
) -> tuple[Float[Tensor, "layer 1 out"], Float[Tensor, "layer channel out"]]:
    """Biases and weights of linear layers that are applied together, each to rows of its own."""
    biases = torch.stack([layer.bias for layer in layers])
    return biases[:, None], torch.stack([layer.weight for layer in layers]).mT


def _mix(layer: Module, tokens: Tokens, placed: Tokens) -> Tokens:
    """Prompt tokens after self-attention and normalisation.

    ``placed`` are the prompt tokens with their position code.
    """
    if layer.skip_first_layer_pe:
        mixed = layer.self_attn(q=tokens, k=tokens, v=tokens)
    else:
        mixed = tokens + layer.self_attn(q=placed, k=placed, v=tokens)
    normed: Tokens = layer.norm1(mixed)
    return normed
