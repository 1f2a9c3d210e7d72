"""Takes conversations and prompts, makes tokens of them, and text of the tokens that come back."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from components.kv_router import Router
from components.worker import VllmWorker

from dynamo.llm import EngineRequest, EngineStep, processor, resumed, routed, steps
from dynamo.sdk import (
    DYNAMO_IMAGE,
    async_on_shutdown,
    async_on_start,
    depends,
    dynamo_context,
    dynamo_endpoint,
    service,
)
from dynamo.sdk.errors import NotBound


@service(
    dynamo={"enabled": True, "namespace": "dynamo"},
    resources={"cpu": "2", "memory": "2Gi"},
    workers=1,
    image=DYNAMO_IMAGE,
)
class Processor:
    """Asks the router where the graph has one; else it shares the work out itself, as `router` says."""

    worker = depends(VllmWorker)
    router = depends(Router)

    @async_on_start
    async def start(self) -> None:
        self.processor = processor("Processor", self.ask)
        self.own = None
        try:
            _ = self.router
            namespace, name = Router.dynamo_address()
            component = dynamo_context["runtime"].namespace(namespace).component(name)
            self.client = await component.endpoint("generate").client()
        except NotBound:  # the graph is linked without it
            self.own = await routed("Processor", VllmWorker.dynamo_address())

    @async_on_shutdown
    async def stop(self) -> None:
        if self.own is not None:
            await self.own.service.close()

    def ask(self, request: EngineRequest) -> AsyncGenerator[EngineStep, None]:
        if self.own is not None:
            return self.own.generate(request)
        return resumed(lambda asked: steps(self.client.round_robin(asked)), request)

    @dynamo_endpoint(name="chat/completions")
    async def chat_completions(self, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """OpenAI's chat completions, as chunks."""
        return self.processor.chat(request)

    @dynamo_endpoint(name="completions")
    async def completions(self, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """OpenAI's completions, as chunks."""
        return self.processor.completions(request)
