"""Files of heads: their format and place, and those that come with the package."""
