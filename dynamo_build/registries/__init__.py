"""Registries: implementations of the seam `Registry`, and the Docker Engine as a place for images."""
