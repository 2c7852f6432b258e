"""Draws the pictures of the gallery, an image or a video at a time."""
