"""Decodes, or serves whole requests: an engine behind one endpoint."""

import contextlib
from collections.abc import AsyncIterator

from components.prefill_worker import PrefillWorker

from dynamo.engines.serving import EngineWorker
from dynamo.llm import EngineRequest, EngineStep
from dynamo.sdk import DYNAMO_IMAGE, async_on_shutdown, async_on_start, depends, dynamo_endpoint, service


@service(
    dynamo={"enabled": True, "namespace": "dynamo"},
    resources={"cpu": "2", "memory": "4Gi"},
    workers=1,
    image=DYNAMO_IMAGE,
)
class VllmWorker:
    """Its engine is what the configuration says: vllm, embedded, simulated or echo."""

    prefill_worker = depends(PrefillWorker)

    @async_on_start
    async def start(self) -> None:
        self.worker = await EngineWorker.start(prefill="PrefillWorker")

    @async_on_shutdown
    async def stop(self) -> None:
        await self.worker.close()

    @dynamo_endpoint()
    async def generate(self, request: EngineRequest) -> AsyncIterator[EngineStep]:
        """The tokens of an answer, as they are made."""
        async with contextlib.aclosing(self.worker.generate(request)) as steps:
            async for step in steps:
                yield step
