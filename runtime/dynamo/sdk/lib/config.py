"""The address of ServiceConfig in the documentation: `dynamo.sdk.lib.config`."""

from dynamo.sdk.config import ServiceConfig

__all__ = ["ServiceConfig"]
