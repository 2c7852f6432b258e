"""Predictors made of weights and heads on disk."""
