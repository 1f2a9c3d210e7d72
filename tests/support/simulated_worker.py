"""A worker process with a simulated engine, for tests that kill it: `-m support.simulated_worker NATS_URL ID SPEED`."""

from __future__ import annotations

import asyncio
import sys

from dynamo.engines.batching import SimulationSettings
from dynamo.engines.engine import EngineRequest
from dynamo.engines.simulated import SimulatedEngine
from dynamo.llm.publishing import KvEventPublisher, WorkerMetricsPublisher
from dynamo.runtime import naming
from dynamo.runtime.discovery import Instance
from dynamo.runtime.distributed import connect
from dynamo.runtime.server import Dispatcher

SETTINGS = SimulationSettings(block_size=16, blocks=512)


async def main(url: str, number: int, speed: float) -> None:
    """Serve until killed."""
    async with await connect({"NATS_SERVER": url}) as runtime:
        blocks = KvEventPublisher(runtime.events, "ns", "Worker", number, SETTINGS.block_size)
        metrics = WorkerMetricsPublisher(runtime.events, "ns", "Worker", number, blocks)
        engine = SimulatedEngine(SETTINGS, speed=speed, on_events=blocks.publish, on_metrics=metrics.publish)
        await blocks.start()
        await metrics.start()

        async def generate(request: EngineRequest):  # type: ignore[no-untyped-def]
            async for step in engine.generate(request):
                yield step

        dispatcher = Dispatcher()
        dispatcher.add(naming.path("ns", "Worker", "generate"), "generate", generate)
        serving = await runtime.transport.serve(dispatcher)
        await runtime.discovery.register(
            Instance(namespace="ns", component="Worker", id=number, address=serving.address, endpoints=("generate",))
        )
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
