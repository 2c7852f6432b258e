"""All cells of a split while they are read."""
