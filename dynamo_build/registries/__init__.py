"""Implementations of the `Registry` seam, one file each."""
