"""One vLLM in two processes that stand for two nodes: run as `0` (the leader, which answers) or `1`, with a model."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from campaign.vllm_worker import arguments
from dynamo.engines.choice import start_engine
from dynamo.engines.engine import EngineRequest


async def main(rank: str, model: str, port: str) -> None:
    """The leader says what it made; the other one serves until its line comes."""
    os.environ.update(DYNAMO_NODES="2", DYNAMO_NODE_RANK=rank, DYNAMO_LEADER_ADDRESS="127.0.0.1")
    asked = [*arguments(model), "--tensor-parallel-size", "2", "--master-port", port]
    engine = await start_engine({"engine": "vllm"}, asked)
    print("> started", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if rank == "0":
            request = EngineRequest(
                id=line.strip(), tokens=tuple(range(10, 210)), max_tokens=8, sampling={"temperature": 0}
            )
            steps = [step async for step in engine.generate(request)]
            told = {"tokens": [token for step in steps for token in step.tokens], "cached": steps[-1].cached_tokens}
        else:
            told = {"alive": engine.alive}
        print(">", json.dumps(told), flush=True)
    await engine.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
