"""Extracts a cell: loads its model, runs the steps of extraction, measures their time."""
