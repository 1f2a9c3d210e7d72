"""Commands that write or describe a project."""
