"""OpenAI's API and the Processor's work in one process: less on the way of each token."""

from collections.abc import AsyncIterator
from typing import Any

from components.worker import VllmWorker

from dynamo.http.openai.frontend import OpenAIFrontend
from dynamo.llm import processor, routed
from dynamo.sdk import DYNAMO_IMAGE, async_on_shutdown, async_on_start, depends, dynamo_endpoint, service


@service(
    dynamo={"enabled": True, "namespace": "dynamo", "name": "VllmWorker"},
    resources={"cpu": "2", "memory": "4Gi"},
    workers=1,
    image=DYNAMO_IMAGE,
)
class WholeWorker(VllmWorker):
    """A VllmWorker that computes all prompts itself."""

    prefill_worker = None


@service(
    dynamo={"enabled": True, "namespace": "dynamo"},
    resources={"cpu": "2", "memory": "2Gi"},
    workers=1,
    image=DYNAMO_IMAGE,
)
class Front(OpenAIFrontend):
    """Shares the work out itself, as `router` says."""

    worker = depends(WholeWorker)

    def __init__(self, served_model_name: str = "smollm2") -> None:
        self.models = [
            ("chat", served_model_name, "dynamo.Front.chat/completions"),
            ("completion", served_model_name, "dynamo.Front.completions"),
        ]

    @async_on_start
    async def start(self) -> None:
        self.client = await routed("Front", WholeWorker.dynamo_address())
        self.processor = processor("Front", self.client.generate)

    @async_on_shutdown
    async def stop(self) -> None:
        await self.client.service.close()

    @dynamo_endpoint(name="chat/completions")
    async def chat(self, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """OpenAI's chat completions, as chunks."""
        return self.processor.chat(request)

    @dynamo_endpoint(name="completions")
    async def complete(self, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """OpenAI's completions, as chunks."""
        return self.processor.completions(request)
