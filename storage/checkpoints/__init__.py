"""Weights of every family, checked against the sha256 in its table."""
