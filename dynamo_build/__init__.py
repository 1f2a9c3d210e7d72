"""The toolchain: from a graph of services to a bento, an image and a deployment."""

__version__ = "0.1.0"
