"""Bayesian entropies of masks, agreements between masks, and comparisons with the ground truth."""

from typing import Final

from pipeline.entropy.mixtures import mask_entropy

__all__: Final = ["mask_entropy"]
