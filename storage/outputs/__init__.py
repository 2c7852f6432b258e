"""Outputs of stages outside the cache, apart from heads: results, tuning, COCO results."""
