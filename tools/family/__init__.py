"""Training of the embedded mini family: ``python -m tools.family``."""
