"""Pictures of the most and the least uncertain objects."""
