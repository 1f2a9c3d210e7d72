"""The parts of a Processor: a routing client of the workers, the steps of a call, and OpenAI's requests."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from dynamo.llm.generation import EngineRequest, EngineStep
from dynamo.llm.kv_routing.routed_client import RoutedClient
from dynamo.llm.kv_routing.routing_service import routing
from dynamo.llm.kv_routing.settings import router_settings
from dynamo.llm.text.model_files import read_model
from dynamo.llm.text.openai_processor import Generate, OpenAIProcessor
from dynamo.llm.text.preprocessor import Preprocessor
from dynamo.rpc.client import Call
from dynamo.rpc.runtime import DistributedRuntime
from dynamo.sdk.config import ServiceConfig
from dynamo.sdk.context import dynamo_context


async def routed(service: str, component: tuple[str, str], endpoint: str = "generate") -> RoutedClient:
    """A client of a component's workers that routes as the configuration of `service` says. Raises ValueError.

    Close its `service` at the end.
    """
    runtime: DistributedRuntime = dynamo_context["runtime"]
    settings = router_settings(ServiceConfig.get_instance().get_parsed_config(service))
    client = await runtime.namespace(component[0]).component(component[1]).endpoint(endpoint).client()
    return RoutedClient(await routing(runtime, *component, endpoint, settings), client)


async def steps(call: Call) -> AsyncGenerator[EngineStep, None]:
    """The steps of a worker that was called. Raises RemoteError, msgspec.ValidationError."""
    reply: Any = aiter(call)
    try:
        async for item in reply:
            yield msgspec.convert(item, EngineStep)
    finally:
        await reply.aclose()


def processor(service: str, generate: Generate) -> OpenAIProcessor:
    """A Processor's work, for the model of the service's configuration. Raises ValueError for its files."""
    values = ServiceConfig.get_instance().get_parsed_config(service)
    model = str(values.get("tokenizer", values.get("model", "smollm2")))
    context = values.get("max-model-len", values.get("max_model_len", 0))
    return OpenAIProcessor(Preprocessor(read_model(model), int(context)), generate)


__all__ = ["EngineRequest", "EngineStep", "processor", "routed", "steps"]
