"""KV-aware routing: the router, its cost, its replicas and its clients."""
