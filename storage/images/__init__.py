"""Reads images from image files and videos, as RGB arrays."""
