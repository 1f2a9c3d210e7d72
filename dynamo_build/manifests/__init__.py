"""Kubernetes objects as plain values: built from a deployment, checked, written. No cluster and no client here."""
