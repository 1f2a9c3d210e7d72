"""Implementations of the seam `Locker`."""
