"""Offline checks of Kubernetes manifests."""
