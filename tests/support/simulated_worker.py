"""A worker process with a simulated engine, for tests that kill it: `-m support.simulated_worker NATS_URL ID SPEED`."""

from __future__ import annotations

import asyncio
import sys

from dynamo.engines.batching import SimulationSettings
from dynamo.engines.simulated import SimulatedEngine
from dynamo.llm.kv.publisher import KvEventPublisher, WorkerMetricsPublisher
from dynamo.rpc.runtime import connect
from support.offering import offer

SETTINGS = SimulationSettings(block_size=16, blocks=512)


async def main(url: str, number: int, speed: float) -> None:
    """Serve until killed."""
    async with await connect({"NATS_SERVER": url}) as runtime:
        blocks = KvEventPublisher(runtime.events, "ns", "Worker", number, SETTINGS.block_size)
        metrics = WorkerMetricsPublisher(runtime.events, "ns", "Worker", number, blocks)
        engine = SimulatedEngine(SETTINGS, speed=speed, on_events=blocks.publish, on_metrics=metrics.publish)
        await offer(runtime, number, blocks, metrics, engine.generate)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
