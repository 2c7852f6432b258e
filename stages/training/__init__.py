"""What heads learn from, the search for their hyperparameters, and their training."""
