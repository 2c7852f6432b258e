"""Runs a stage as a program: handles its arguments, errors, signals, progress and end."""
