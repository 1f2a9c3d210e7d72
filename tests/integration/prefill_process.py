"""A prefill worker process, for tests that kill it: `-m integration.prefill_process NATS_URL ID SPEED`.

A prompt that begins with the token 13 ends the process, as a fault in a driver would.
"""

from __future__ import annotations

import asyncio
import os
import sys

from dynamo.engines.simulated import SimulatedEngine
from dynamo.llm.disagg.prefill_side import PrefillLoop
from dynamo.rpc.runtime import connect
from support.simulated_worker import SETTINGS

SILENCE_SECONDS = 1.5


class Poisonable(SimulatedEngine):
    """Dies of some prompts."""

    async def generate(self, request):  # type: ignore[no-untyped-def]
        if request.tokens[0] == 13:
            os._exit(9)
        async for step in super().generate(request):
            yield step


async def main(url: str, number: int, speed: float) -> None:
    """Take prompts until killed."""
    async with await connect({"NATS_SERVER": url}) as runtime:
        engine = Poisonable(SETTINGS, speed=speed)
        loop = PrefillLoop(runtime.events, runtime.queues, "ns", "model", number, engine, silence=SILENCE_SECONDS)
        await loop.start()
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
