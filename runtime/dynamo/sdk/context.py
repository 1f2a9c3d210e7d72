"""The context that a running worker gives to its code, and the door to the runtime for code outside a graph."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from dynamo.sdk.errors import Unavailable

#: The group of entry points by which a distribution offers the runtime to the SDK.
RUNTIME = "dynamo.runtime"
#: Filled by the worker: service_name, worker_id, namespace, runtime, component, endpoints, metrics.
dynamo_context: dict[str, Any] = {}


async def get_runtime() -> Any:
    """A connection to the running graph: the worker's own inside a worker, else a new one.

    Raises `dynamo.sdk.errors.Unavailable` when no graph is found.
    """
    runtime = dynamo_context.get("runtime")
    if runtime is not None:
        return runtime
    # By entry point: the SDK must not depend on the runtime, which is heavy and absent where graphs are only described.
    for entry in entry_points(group=RUNTIME, name="connect"):
        return await entry.load()()
    raise Unavailable("`dynamo-runtime` is not installed here, so there is no graph to connect to")
