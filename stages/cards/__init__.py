"""Cards for a hub: descriptions of a data set of stores, or of a head file."""
