"""The method: arrays in, arrays out."""
