"""Implementations of the seam `DeployTarget`."""
