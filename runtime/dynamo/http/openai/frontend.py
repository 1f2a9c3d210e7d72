"""The service inside a graph: a class that a graph's front derives from."""

from __future__ import annotations

import os
from typing import Any

from dynamo.http.openai.access import Access
from dynamo.http.openai.models import ModelRegistry, parse_registration
from dynamo.http.openai.service import OpenAIService
from dynamo.rpc.server import Method
from dynamo.sdk.context import dynamo_context
from dynamo.sdk.endpoints import api, marked_methods
from dynamo.sdk.lifecycle import async_on_shutdown, async_on_start


class OpenAIFrontend:
    """Answers as OpenAI's service for all models of the graph, and announces its own as long as it lives.

    @service(dynamo={"namespace": "dynamo"})
    class Frontend(OpenAIFrontend):
        processor = depends(Processor)

        def __init__(self, served_model_name: str, endpoint: str = "dynamo.Processor.chat/completions"):
            self.models = [("chat", served_model_name, endpoint)]

    Endpoints of its own class are called without a network: a front that is its own Processor.
    """

    models: list[tuple[str, str, str]] = []  # noqa: RUF012 - set by instances

    @async_on_start
    async def start_openai(self) -> None:
        """Announce the models. Raises BadRequest for a name that another endpoint has."""
        registry = ModelRegistry(dynamo_context["runtime"])
        namespace = str(dynamo_context.get("namespace", "dynamo"))
        self._leases = [
            await registry.announce_model(parse_registration(kind, name, endpoint, namespace))
            for kind, name, endpoint in self.models
        ]
        here = f"{namespace}.{dynamo_context.get('service_name', '')}."
        own = {
            here + mark.name: Method(mark.name, getattr(self, method))
            for method, _, marks in marked_methods(type(self))
            for mark in marks
            if mark.transport == "dynamo"
        }
        self.asgi = OpenAIService(lambda: registry, Access.from_environment(os.environ), own=own)

    @async_on_shutdown
    async def stop_openai(self) -> None:
        """Take the announcement away."""
        for lease in getattr(self, "_leases", ()):
            await lease.close()

    # The routes, for what describes the graph: requests to them go to `asgi` before they get here.
    @api(name="v1/chat/completions")
    async def chat_completions(self, request: dict[str, Any]) -> Any:
        """OpenAI's chat completions."""
        raise NotImplementedError

    @api(name="v1/completions")
    async def completions(self, request: dict[str, Any]) -> Any:
        """OpenAI's completions."""
        raise NotImplementedError

    @api(name="v1/embeddings")
    async def embeddings(self, request: dict[str, Any]) -> Any:
        """OpenAI's embeddings."""
        raise NotImplementedError

    @api(name="v1/models", http_method="GET")
    async def list_models(self) -> Any:
        """The models that can be asked now."""
        raise NotImplementedError
