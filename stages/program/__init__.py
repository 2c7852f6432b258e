"""A stage as a program: its arguments, errors, signals, progress and end."""
