"""Synthetic scenes of textured shapes with annotated objects, drawn from a seed."""
