"""The web page of ``usam demo``: an image, clicks on it, and how far to trust the masks."""
