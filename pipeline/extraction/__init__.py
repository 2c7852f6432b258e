"""Extraction: a model answers prompts about the objects of an image, which gives a cell's rows."""
