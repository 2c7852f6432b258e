"""Files of trained heads: their format, their paths, and the file that comes with the package."""
