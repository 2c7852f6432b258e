"""Fills cells: plans missing shards, computes them in any number of processes, publishes cells."""
