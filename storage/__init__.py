"""The cache and the data sets on disk."""
