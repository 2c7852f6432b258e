"""Reduces the masks of a split to figures of each object, a shard at a time."""
