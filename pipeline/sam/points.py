"""Embeds the points of prompt sets like SAM2's prompt encoder, in a third of its operations."""

from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int64
from torch import Tensor
from torch.nn.functional import embedding

from pipeline.prompt_kinds import BOX

Module = Any
"""A module of ``sam2``, which ships no types."""

NO_POINT: Final = -1
"""Label of a point that only pads a prompt set."""


class PointEncoder:
    """Embeds clicks and corners of boxes with the weights of a ``PromptEncoder``.

    On a CPU, the embeddings equal the ``PromptEncoder``'s bit for bit. The ``PromptEncoder``
    compares all labels with each known label in turn; ``PointEncoder`` looks labels up in a table
    of their embeddings. The host scales coordinates. ``pads_boxes`` is as for ``Family``.
    """

    def __init__(self, encoder: Module, *, pads_boxes: bool = True) -> None:
        rows = *encoder.point_embeddings, encoder.not_a_point_embed
        self._labels = torch.cat([row.weight for row in rows])
        self._frequencies = encoder.pe_layer.positional_encoding_gaussian_matrix
        self._pads_boxes = pads_boxes
        height, width = encoder.input_image_size
        self._size_px = np.array([width, height], np.float32)

    def pads(self, labels: Int[np.ndarray, "prompt point"]) -> bool:
        """Whether prompt sets get one more point, see ``prepare``."""
        return self._pads_boxes or not np.isin(labels, BOX).any()

    def prepare(
        self, points: Float[np.ndarray, "prompt point 2"], labels: Int[np.ndarray, "prompt point"]
    ) -> tuple[Float32[np.ndarray, "prompt padded 2"], Int64[np.ndarray, "prompt padded"]]:
        """Scale coordinates to -1 to 1, and look up the row of each label in the table of labels.

        Each prompt set gets one more point, of the label ``NO_POINT``, as in the ``PromptEncoder``;
        in SAM 1, only if none of the prompt sets has a box.
        ``points`` (x, y) are in pixels of the encoder's square; ``labels`` are from ``NO_POINT`` to
        3, which is not checked.
        """
        n_prompts, n_points = labels.shape
        n_padded = n_points + self.pads(labels)
        # Filled by hand: `np.pad` would take longer than the rest.
        centres = np.zeros((n_prompts, n_padded, 2), np.float32)
        centres[:, :n_points] = points.astype(np.float32) + np.float32(0.5)
        rows = np.full((n_prompts, n_padded), NO_POINT, np.int64)
        rows[:, :n_points] = labels
        return 2 * (centres / self._size_px) - 1, rows % len(self._labels)

    def embed(
        self, places: Float32[Tensor, "prompt point 2"], rows: Int64[Tensor, "prompt point"]
    ) -> Float[Tensor, "prompt point channel"]:
        """Embed points on the device, from the results of ``prepare`` as tensors there."""
        angles = 2 * np.pi * (places @ self._frequencies)
        codes = torch.cat([angles.sin(), angles.cos()], dim=-1)
        is_padding = rows[..., None] == len(self._labels) - 1
        return codes.masked_fill_(is_padding, 0) + embedding(rows, self._labels)
