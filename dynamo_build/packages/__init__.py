"""Python packages: requirements, locks, wheels, and what a base image provides."""
