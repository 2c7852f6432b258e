"""Results of a split as tables."""
