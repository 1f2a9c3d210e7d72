"""KV cache events, the index of blocks by worker, and load."""
