"""Reads a split: the table of its objects, the plan of its shards, and its open cells."""
