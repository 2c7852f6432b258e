"""Cards for a hub, which describe a data set of stores or a file of heads."""
