"""A split in memory: its objects, its shards and its open cells."""
