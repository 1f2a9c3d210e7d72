"""What a running worker tells the code in it, and the door to the runtime for code outside a graph."""

from __future__ import annotations

import importlib
from typing import Any

#: Filled by the worker: service_name, worker_id, namespace, runtime, component, endpoints, metrics.
dynamo_context: dict[str, Any] = {}


async def get_runtime() -> Any:
    """A connection to the running graph: the worker's own inside a worker, else a new one.

    Raises `dynamo.sdk.errors.Unavailable` when no graph is found.
    """
    runtime = dynamo_context.get("runtime")
    if runtime is not None:
        return runtime
    # By name: the SDK must not depend on the runtime, which is heavy and absent where graphs are only described.
    return await importlib.import_module("dynamo.rpc.runtime").connect()
