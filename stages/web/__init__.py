"""The web pages of ``usam demo`` and ``usam review``: masks of images, and how wrong they are."""
