"""Image builder over a Docker Engine, for plans with system packages or setup commands."""

from dynamo_build.builders.docker.builder import DockerBuilder

__all__ = ["DockerBuilder"]
