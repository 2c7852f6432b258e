"""Predictors made of weights and heads on disk."""

from stages.predictor.loading import load_predictor

__all__ = ["load_predictor"]
