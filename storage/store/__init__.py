"""Opens, writes and checks a Zarr store by its schema, signature and manifest."""
