"""Fills cells: what they lack and why, computing shards in any number of processes, publishing."""
