"""A worker process with vLLM, of whom routers hear: `-m campaign.vllm_worker NATS_URL ID MODEL`."""

from __future__ import annotations

import asyncio
import sys

from dynamo.engines.vllm import VllmEngine
from dynamo.llm.kv.publisher import KvEventPublisher, WorkerMetricsPublisher
from dynamo.rpc.runtime import connect
from support.offering import offer

BLOCK = 32


def arguments(model: str) -> list[str]:
    """The engine's options."""
    return ["--model", model, "--block-size", str(BLOCK), "--max-model-len", "1024", "--enforce-eager",
            "--dtype", "bfloat16", "--enable-prefix-caching"]  # fmt: skip


async def main(url: str, number: int, model: str) -> None:
    """Serve until killed."""
    async with await connect({"NATS_SERVER": url}) as runtime:
        blocks = KvEventPublisher(runtime.events, "ns", "Worker", number, BLOCK)
        metrics = WorkerMetricsPublisher(runtime.events, "ns", "Worker", number, blocks)
        engine = await VllmEngine.start(arguments(model), on_events=blocks.publish_engine, on_metrics=metrics.publish)
        await offer(runtime, number, blocks, metrics, engine.generate)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
