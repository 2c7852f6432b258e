"""Scenes of textured shapes, drawn from a seed."""
