"""Fills cells: which lack what and why, their shards by any number of processes, publishing."""
