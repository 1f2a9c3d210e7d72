"""A worker process with the embedded engine, for measurements: `-m support.engine_worker NATS_URL ID SLOTS CONTEXT`.

llama.cpp's second cache in the machine's memory is off: what a worker remembers is its slots, as it would be on a GPU.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from dynamo.engines import embedded
from dynamo.llm.publishing import KvEventPublisher, WorkerMetricsPublisher
from dynamo.runtime.distributed import connect
from support.offering import offer

BLOCK = 16
_parameters = embedded._parameters


def parameters(package: Any, path: Path, settings: embedded.EmbeddedSettings) -> Any:
    """The engine's own, without the second cache."""
    made = _parameters(package, path, settings)
    made.cache_ram_mib = 0
    return made


async def main(url: str, number: int, slots: int, context: int) -> None:
    """Serve until killed."""
    embedded._parameters = parameters
    settings = embedded.EmbeddedSettings(slots=slots, context=context, threads=1, block_size=BLOCK)
    async with await connect({"NATS_SERVER": url}) as runtime:
        blocks = KvEventPublisher(runtime.events, "ns", "Worker", number, BLOCK)
        metrics = WorkerMetricsPublisher(runtime.events, "ns", "Worker", number, blocks)
        engine = await embedded.EmbeddedEngine.start(
            "smollm2", settings, on_events=blocks.publish, on_metrics=metrics.publish
        )
        await offer(runtime, number, blocks, metrics, engine.generate)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2], *map(int, sys.argv[2:5])))
