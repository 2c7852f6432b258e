"""One Zarr store: its schema, signature, checks, and how it is opened and written."""
