"""Implementations of the `Locker` seam, one file each."""
