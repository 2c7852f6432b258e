"""What maintainers run: tables and figures of the docs, and the training of the mini family."""
