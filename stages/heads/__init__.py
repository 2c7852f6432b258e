"""What heads are trained on and judged by, and the search for hyperparameters."""
