"""Implementations of the `DeployTarget` seam, one file each."""
