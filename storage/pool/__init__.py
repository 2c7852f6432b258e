"""The pool: shards of cells, in files named by all that determines their bytes."""
