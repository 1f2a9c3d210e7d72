"""Image builders: implementations of the seam `ImageBuilder`, and what they share."""
