"""What processes agree on: discovery of instances, topics, queues and records."""
