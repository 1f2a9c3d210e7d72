"""What every engine under test does once it is up: announce its blocks, offer `generate`, say so, and stay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from dynamo.coordination.discovery import Instance
from dynamo.engines.engine import EngineRequest, EngineStep
from dynamo.llm.kv.publisher import KvEventPublisher, WorkerMetricsPublisher
from dynamo.messages import naming
from dynamo.rpc.server import Dispatcher


async def offer(
    runtime: Any,
    number: int,
    blocks: KvEventPublisher,
    metrics: WorkerMetricsPublisher,
    engine: Callable[[EngineRequest], AsyncIterator[EngineStep]],
) -> None:
    """Serve as the instance `number` of ns/Worker until killed."""
    await blocks.start()
    await metrics.start()

    async def generate(request: EngineRequest) -> AsyncIterator[EngineStep]:
        return engine(request)

    dispatcher = Dispatcher()
    dispatcher.add_method(naming.format_path("ns", "Worker", "generate"), "generate", generate)
    serving = await runtime.transport.serve(dispatcher)
    await runtime.discovery.register(
        Instance(namespace="ns", component="Worker", id=number, address=serving.address, endpoints=("generate",))
    )
    print("ready", flush=True)
    await asyncio.Event().wait()
