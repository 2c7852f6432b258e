"""From a model and the objects of an image to the rows of a cell."""
