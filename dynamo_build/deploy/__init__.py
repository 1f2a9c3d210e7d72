"""Deployments: placement, Kubernetes objects and checks, the cluster, and targets."""
