"""A worker process with the embedded engine, for measurements: `-m bench.engine_worker NATS_URL ID SLOTS CONTEXT`.

llama.cpp's second cache in the machine's memory is off: what a worker remembers is its slots, as it would be on a GPU.
"""

from __future__ import annotations

import asyncio
import sys

from dynamo.engines.embedded import EmbeddedEngine, EmbeddedSettings
from dynamo.llm.kv.publisher import KvEventPublisher, WorkerMetricsPublisher
from dynamo.rpc.runtime import connect
from support.offering import offer

BLOCK = 16


async def main(url: str, number: int, slots: int, context: int) -> None:
    """Serve until killed."""
    settings = EmbeddedSettings(slots=slots, context=context, threads=1, block_size=BLOCK, second_cache=0)
    async with await connect({"NATS_SERVER": url}) as runtime:
        blocks = KvEventPublisher(runtime.events, "ns", "Worker", number, BLOCK)
        metrics = WorkerMetricsPublisher(runtime.events, "ns", "Worker", number, blocks)
        engine = await EmbeddedEngine.start("smollm2", settings, on_events=blocks.publish, on_metrics=metrics.publish)
        await offer(runtime, number, blocks, metrics, engine.generate)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2], *map(int, sys.argv[2:5])))
