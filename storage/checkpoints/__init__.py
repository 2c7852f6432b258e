"""Weights files of every model family, checked against the sha256 in the family's table."""
