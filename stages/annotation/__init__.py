"""Connects predictors to annotation tools; docs/annotate.md describes how to use them."""
