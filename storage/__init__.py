"""Reads and writes the files of the project: cache, data sets, weights, heads and results."""
