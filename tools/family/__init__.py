"""The recipe that trains the embedded family; for its maintainers."""
