"""Coordination of processes: discovery of instances, topics, queues and records."""
