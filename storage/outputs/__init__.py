"""What stages write outside the cache, apart from heads: results, tuning, COCO results."""
