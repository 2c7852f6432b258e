"""Reads the training data of heads, searches hyperparameters, and trains and writes the heads."""
