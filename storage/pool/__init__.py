"""The pool: shards of cells, in files that are named by all that their bytes follow from."""
