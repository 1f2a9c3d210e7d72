"""Implementations of the `ImageBuilder` seam, one file each."""
