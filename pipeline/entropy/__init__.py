"""Bayesian entropies of mask probabilities."""

from typing import Final

from pipeline.entropy.mixtures import mask_entropy

__all__: Final = ["mask_entropy"]
