"""The heads, small MLPs: their targets, their training and their predictions."""
