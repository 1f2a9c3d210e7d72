"""Kubernetes objects built as values, and the forms they are written in."""
