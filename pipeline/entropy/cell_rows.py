"""Rows of one cell of the cache, for some objects."""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8

from pipeline.vocabulary import N_PROPOSALS, SINGLE_CLICKS


@runtime_checkable
class Masks(Protocol):
    """Coded masks of many objects, an array or what reads them when it is asked for some."""

    def __getitem__(self, some: slice, /) -> UInt8[np.ndarray, "object prompt proposal y x"]:
        """Return the masks of some objects, which are valid until the next call."""
        ...


@dataclass(frozen=True)
class CellRows:
    """What one model predicts for some objects in one view; prompts in the order of ``PROMPTS``.

    Raises
    ------
    ValueError
        If a single click or a proposal is missing, or a score is out of its range.
    """

    mask_code: Masks
    sam_score: Float32[np.ndarray, "object prompt proposal"]
    iou: Float32[np.ndarray, "object prompt proposal"]

    def __post_init__(self) -> None:
        """Check that mixtures can be made of the rows."""
        n_prompts, n_proposals = self.sam_score.shape[1:]
        if n_prompts < len(SINGLE_CLICKS) or n_proposals != N_PROPOSALS:
            raise ValueError(
                f"rows of a cell must have {len(SINGLE_CLICKS)} prompt sets or more and "
                f"{N_PROPOSALS} proposals, got {n_prompts} and {n_proposals}"
            )
        # NaN fails every comparison.
        is_score = (self.sam_score >= 0) & (self.sam_score < math.inf)
        if not is_score.all():
            raise ValueError(
                f"sam_score must be >= 0 and finite, got {self.sam_score[~is_score][0]}"
            )
        is_iou = (self.iou >= 0) & (self.iou <= 1)
        if not is_iou.all():
            raise ValueError(f"iou must lie in [0, 1], got {self.iou[~is_iou][0]}")
