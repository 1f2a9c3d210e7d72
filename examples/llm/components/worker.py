"""Decodes, or serves whole requests: an engine behind one endpoint."""

from collections.abc import AsyncIterator

from components.prefill_worker import PrefillWorker

from dynamo.engines.serving import EngineWorker
from dynamo.llm import EngineRequest, EngineStep
from dynamo.sdk import DYNAMO_IMAGE, async_on_shutdown, async_on_start, depends, dynamo_endpoint, liveness, service


@service(
    dynamo={"enabled": True, "namespace": "dynamo"},
    resources={"cpu": "2", "memory": "4Gi"},
    workers=1,
    image=DYNAMO_IMAGE,
)
class VllmWorker:
    """Its engine is what the configuration says: vllm, embedded, simulated or echo."""

    prefill_worker = depends(PrefillWorker)
    worker: EngineWorker | None = None

    @async_on_start
    async def start(self) -> None:
        self.worker = await EngineWorker.start(prefill="PrefillWorker")

    @async_on_shutdown
    async def stop(self) -> None:
        if self.worker is not None:
            await self.worker.close()

    @liveness
    def alive(self) -> bool:
        return self.worker is None or self.worker.alive

    @dynamo_endpoint()
    async def generate(self, request: EngineRequest) -> AsyncIterator[EngineStep]:
        """The tokens of an answer, as they are made."""
        assert self.worker is not None
        return self.worker.generate(request)
