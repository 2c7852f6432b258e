"""Fills cells: their missing shards, by any number of processes, and publishes what is whole."""
