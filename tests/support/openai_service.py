"""The OpenAI service on a real port, in the process of the test, in front of services in the same process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import MappingProxyType
from typing import Any

from dynamo.http.http_server import HttpServer, open_listener
from dynamo.http.openai.access import Access
from dynamo.http.openai.models import ModelRegistry, parse_registration
from dynamo.http.openai.service import OpenAIService
from dynamo.sdk import dynamo_endpoint, service
from support.in_process import running


@service(dynamo={"namespace": "test"})
class Words:
    """Answers with the words of the last message, in the form that the model's name says."""

    cancelled: list[str] = []
    seen: list[dict[str, Any]] = []

    @dynamo_endpoint(name="chat/completions")
    async def chat(self, request: dict):
        self.seen.append(request)
        words = str(request["messages"][-1]["content"]).split()
        try:
            for number, word in enumerate(words):
                yield {"choices": [{"index": 0, "delta": {"content": word + " "}, "finish_reason": None}]}
                if word == "wait":
                    await asyncio.sleep(60)
                if word == "break":
                    raise ValueError(f"broken at {number}")
            yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
            yield {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": len(words), "total_tokens": 9}}
        except (GeneratorExit, asyncio.CancelledError):
            self.cancelled.append(" ".join(words))
            raise

    @dynamo_endpoint()
    async def plain(self, request: dict):
        for word in str(request["messages"][-1]["content"]).split():
            yield word + " "

    @dynamo_endpoint()
    async def complete(self, request: dict):
        yield {"choices": [{"index": 0, "text": request["prompt"], "finish_reason": "length"}]}

    @dynamo_endpoint()
    async def embed(self, request: dict):
        texts = request["input"] if isinstance(request["input"], list) else [request["input"]]
        return {
            "data": [{"embedding": [float(len(text)), 0.5]} for text in texts],
            "usage": {"prompt_tokens": 3, "total_tokens": 3},
        }


MODELS = (
    ("chat", "words", "test.Words.chat/completions"),
    ("chat", "plain", "test/Words/plain"),
    ("completion", "words", "test.Words.complete"),
    ("embedding", "vectors", "test.Words.embed"),
    ("chat", "nobody", "test.Absent.generate"),
)


@contextlib.asynccontextmanager
async def serving(
    *services: Any,
    models: Any = MODELS,
    access: Access | None = None,
    timeout: float = 0.0,
    own: Any = MappingProxyType({}),
) -> AsyncIterator[str]:
    """The service's address, with these models registered."""
    runtime = await running(*(services or (Words,)))
    registry = ModelRegistry(runtime)
    for kind, name, endpoint in models:
        await registry.add_model(parse_registration(kind, name, endpoint))
    listening = open_listener("127.0.0.1", 0)
    server = HttpServer(OpenAIService(lambda: registry, access, timeout, own), listening, 1.0)
    await server.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        await server.stop()
        await runtime.close()
