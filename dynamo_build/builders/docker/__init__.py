"""Images built by a Docker Engine: for plans with system packages or setup commands, and for who prefers Docker."""

from dynamo_build.builders.docker.builder import DockerBuilder

__all__ = ["DockerBuilder"]
