"""The public names for an author of services. Standard library only, and quick to import."""

from dynamo.sdk.context import dynamo_context, get_runtime
from dynamo.sdk.decorators import service
from dynamo.sdk.depends import depends
from dynamo.sdk.endpoints import api, dynamo_endpoint
from dynamo.sdk.errors import RemoteError
from dynamo.sdk.interfaces import AbstractService, abstract_endpoint
from dynamo.sdk.lifecycle import async_on_shutdown, async_on_start, liveness, readiness
from dynamo.sdk.options import DYNAMO_IMAGE

dynamo_api = api
endpoint = dynamo_endpoint
on_shutdown = async_on_shutdown

__all__ = [
    "DYNAMO_IMAGE",
    "AbstractService",
    "RemoteError",
    "abstract_endpoint",
    "api",
    "async_on_shutdown",
    "async_on_start",
    "depends",
    "dynamo_api",
    "dynamo_context",
    "dynamo_endpoint",
    "endpoint",
    "get_runtime",
    "liveness",
    "on_shutdown",
    "readiness",
    "service",
]
