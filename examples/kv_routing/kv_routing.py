"""A worker with a cache of its own, told to a router: what an engine other than vLLM has to say, and to whom."""

from collections.abc import AsyncIterator

from pydantic import BaseModel

from dynamo.llm import (
    EngineRequest,
    EngineStep,
    ForwardPassMetrics,
    KvEventPublisher,
    RoutedClient,
    WorkerMetricsPublisher,
    block_hashes,
    router_settings,
    routing,
)
from dynamo.sdk import api, async_on_start, depends, dynamo_context, endpoint, on_shutdown, service
from dynamo.sdk.lib.config import ServiceConfig

BLOCK = 16
KEPT = 1000


@service(dynamo={"namespace": "demo"}, workers=2)
class Worker:
    """Says each letter of the prompt in upper case; what it has seen it need not look at again."""

    @async_on_start
    async def start(self) -> None:
        place = dynamo_context["runtime"].events, "demo", "Worker", dynamo_context["instance_id"]
        self.blocks = KvEventPublisher(*place, BLOCK)
        self.metrics = WorkerMetricsPublisher(*place, self.blocks)
        self.cache: dict[int, None] = {}
        self.running = 0
        await self.blocks.start()
        await self.metrics.start()

    @on_shutdown
    async def stop(self) -> None:
        await self.metrics.close()
        await self.blocks.close()

    @endpoint()
    async def generate(self, request: EngineRequest) -> AsyncIterator[EngineStep]:
        hashes = block_hashes(request.tokens, BLOCK)
        known = 0
        while known < len(hashes) and hashes[known] in self.cache:
            known += 1
        self.running += 1
        self.tell()
        try:
            self.blocks.stored(request.tokens)  # can be reused from now on
            self.cache.update(dict.fromkeys(hashes))
            for token in request.tokens[: request.max_tokens]:
                upper = ord(chr(token).upper()[0])
                yield EngineStep(tokens=(upper,), cached_tokens=known * BLOCK)
            yield EngineStep(tokens=(), finish_reason="stop", cached_tokens=known * BLOCK)
        finally:
            self.running -= 1
            self.forget()
            self.tell()

    def forget(self) -> None:
        oldest = list(self.cache)[: max(len(self.cache) - KEPT, 0)]
        for key in oldest:
            del self.cache[key]
        if oldest:
            self.blocks.removed(oldest)

    def tell(self) -> None:
        self.metrics.publish(
            ForwardPassMetrics(
                request_active_slots=self.running,
                request_total_slots=8,
                kv_active_blocks=len(self.cache),
                kv_total_blocks=KEPT,
                gpu_cache_usage_perc=len(self.cache) / KEPT,
            )
        )


class Question(BaseModel):
    text: str


@service(dynamo={"namespace": "demo"})
class Frontend:
    worker = depends(Worker)

    @async_on_start
    async def start(self) -> None:
        runtime = dynamo_context["runtime"]
        settings = router_settings({"block-size": BLOCK, **ServiceConfig.get_instance().get("Frontend", {})})
        self.routing = await routing(runtime, "demo", "Worker", "generate", settings)
        client = await runtime.namespace("demo").component("Worker").endpoint("generate").client()
        self.decisions: dict[str, str] = {}
        self.client = RoutedClient(
            self.routing, client, on_decision=lambda asked, chosen: self.decisions.update({asked.id: chosen.reason})
        )
        self.count = 0

    @on_shutdown
    async def stop(self) -> None:
        await self.routing.close()

    @api()
    async def shout(self, question: Question) -> dict[str, object]:
        self.count += 1
        asked = EngineRequest(id=str(self.count), tokens=tuple(map(ord, question.text)), max_tokens=1000)
        letters, cached = [], 0
        async for step in self.client.generate(asked):
            letters += step.tokens
            cached = step.cached_tokens
        return {
            "text": "".join(map(chr, letters)),
            "cached": cached,
            "why": self.decisions.pop(asked.id, ""),
        }
