"""Services in the process of the test: called through the runtime, over a transport in memory."""

from __future__ import annotations

import inspect
from typing import Any

from dynamo.coordination.discovery import Instance, MemoryDiscovery, new_id
from dynamo.messages import naming
from dynamo.rpc.memory import MemoryTransport
from dynamo.rpc.runtime import DistributedRuntime
from dynamo.rpc.server import Dispatcher
from dynamo.sdk import lifecycle
from dynamo.sdk.decorators import Service, as_service
from dynamo.sdk.depends import bind


async def running(*services: Service[Any]) -> DistributedRuntime:
    """A runtime in which one instance of each service answers."""
    runtime = DistributedRuntime(MemoryTransport(), MemoryDiscovery())
    for service in services:
        spec = service.build_spec(".")
        instance = await made(service, runtime)
        dispatcher = Dispatcher()
        for endpoint in spec.endpoints:
            path = naming.format_path(spec.namespace, spec.name, endpoint.name)
            dispatcher.add_method(path, endpoint.name, getattr(instance, endpoint.method))
        serving = await runtime.transport.serve(dispatcher)
        names = tuple(endpoint.name for endpoint in spec.endpoints)
        await runtime.discovery.register(
            Instance(
                namespace=spec.namespace, component=spec.name, id=new_id(), address=serving.address, endpoints=names
            )
        )
    return runtime


async def made(service: Service[Any], runtime: DistributedRuntime | None = None) -> Any:
    """An instance of a service, started as a worker starts it."""
    clients = {}
    for attribute, dependency in service.dependencies.items():
        callee = as_service(dependency.on)
        if runtime is not None and callee is not None:
            spec = callee.build_spec(".")
            names = {endpoint.method: endpoint.name for endpoint in spec.endpoints}
            clients[attribute] = runtime.service(spec.namespace, spec.name, names)
    bind(service, clients)
    instance = service()
    for hook in lifecycle.start_hooks(instance):
        await _awaited(hook())
    return instance


async def ended(instance: Any) -> None:
    """Run the hooks of its end."""
    for hook in lifecycle.shutdown_hooks(instance):
        await _awaited(hook())


async def _awaited(result: Any) -> None:
    if inspect.isawaitable(result):
        await result
