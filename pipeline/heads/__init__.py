"""The heads, small MLPs that predict IoUs and gains: their targets, training and predictions."""
