"""Runs one cell: models, steps, and the loop that overlaps them."""
