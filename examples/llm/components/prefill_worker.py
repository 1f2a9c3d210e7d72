"""Computes prompts that it takes from a queue, and says how their blocks are had."""

from typing import Any

from dynamo.engines.serving import EnginePrefillWorker
from dynamo.sdk import DYNAMO_IMAGE, async_on_shutdown, async_on_start, dynamo_endpoint, service


@service(
    dynamo={"enabled": True, "namespace": "dynamo"},
    resources={"cpu": "2", "memory": "4Gi"},
    workers=1,
    image=DYNAMO_IMAGE,
)
class PrefillWorker:
    """Add some while the graph runs: decode workers need not know them."""

    @async_on_start
    async def start(self) -> None:
        self.worker = await EnginePrefillWorker.start()

    @async_on_shutdown
    async def stop(self) -> None:
        await self.worker.close()

    @dynamo_endpoint()
    async def prefilled(self) -> dict[str, Any]:
        """How many prompts it computed."""
        return {"prompts": self.worker.loop.done}
