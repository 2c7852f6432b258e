"""What stages write outside the cache: heads, tuning, results, galleries."""
