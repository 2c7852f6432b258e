"""Loads predictors from files of weights and heads, and writes their answers."""
