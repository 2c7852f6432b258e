"""Cards for a hub: what a data set of stores, or a file of heads, says of itself there."""
