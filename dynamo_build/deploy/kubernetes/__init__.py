"""Kubernetes manifests as values: the objects, and the checks on them. No cluster."""
