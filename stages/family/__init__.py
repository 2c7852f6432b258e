"""``usam family``: trains the weights of the mini family, for its maintainers."""
