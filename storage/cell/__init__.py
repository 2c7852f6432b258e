"""One cell while it is written: its work folder, shards and publishing."""
