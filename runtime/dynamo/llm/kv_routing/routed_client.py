"""Calls of an engine's endpoint through a router; a stream whose worker is lost goes on with another one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Any

import msgspec

from dynamo.llm.generation import EngineRequest, EngineStep
from dynamo.llm.kv_routing.migration import ATTEMPTS, allow_always, resumed
from dynamo.llm.kv_routing.router import Decision, NoWorkers
from dynamo.llm.kv_routing.routing_service import RoutingService
from dynamo.rpc.endpoint_client import Client
from dynamo.sdk.errors import RemoteError, Unavailable

logger = logging.getLogger("dynamo.llm")
PATIENCE_SECONDS = 10.0


class RoutedClient:
    """Generates with the worker that the router chooses.

    When a worker is lost, the tokens it made become part of the prompt for another one, so none is missing and none
    comes twice. An engine whose state is more than its tokens cannot go on like that: for requests of which
    `resumable` says no, the loss is raised as Unavailable once a token was given out.
    """

    def __init__(
        self,
        service: RoutingService,
        client: Client,
        *,
        migrations: int = ATTEMPTS,
        resumable: Callable[[EngineRequest], bool] = allow_always,
        on_decision: Callable[[EngineRequest, Decision], None] = lambda request, decision: None,
    ) -> None:
        self.service = service
        self._client = client
        self._migrations = migrations
        self._resumable = resumable
        self._on_decision = on_decision

    def generate(self, request: EngineRequest) -> AsyncGenerator[EngineStep, None]:
        """The steps of an answer. Raises RemoteError; Unavailable when no worker is left to go on."""
        without: set[int] = set()

        def ask(asked: EngineRequest) -> AsyncGenerator[EngineStep, None]:
            return self._stream_steps(asked, without)

        return resumed(ask, request, attempts=self._migrations, resumable=self._resumable)

    async def _choose_worker(self, request: EngineRequest, without: set[int]) -> Decision:
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_SECONDS
        while True:
            try:
                return self.service.route(request.id, request.tokens, without)
            except NoWorkers as error:
                if loop.time() >= until:
                    raise Unavailable(f"request {request.id} cannot be routed: {error}") from error
            await asyncio.sleep(0.1)

    async def _stream_steps(self, request: EngineRequest, without: set[int]) -> AsyncGenerator[EngineStep, None]:
        decision = await self._choose_worker(request, without)
        logger.debug("request %s goes to worker %s: %s", request.id, decision.worker, decision.reason)
        without.add(decision.worker)
        reply: Any = None
        first, tokens = True, 0
        try:
            self._on_decision(request, decision)
            sent = replace(request, prefix_hit_rate=decision.prefix_hit_rate)
            call = self._client.direct(sent, decision.worker)
            call.wrap = _keep_item
            reply = aiter(call)
            async for item in reply:
                step = msgspec.convert(item, EngineStep)
                if first:
                    first = False
                    self.service.first_token(request.id)
                tokens += len(step.tokens)
                yield step
        except msgspec.ValidationError as error:
            raise RemoteError(f"the worker's answer is not a step: {error}") from error
        finally:
            self.service.finished(request.id, tokens)
            if reply is not None:
                await reply.aclose()


def _keep_item(item: Any) -> Any:
    return item
