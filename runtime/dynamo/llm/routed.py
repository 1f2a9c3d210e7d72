"""Calls of an engine's endpoint through a router; a stream whose worker is lost goes on with another one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Any

import msgspec

from dynamo.llm.generation import EngineRequest, EngineStep
from dynamo.llm.router import Decision, NoWorkers
from dynamo.llm.service import RoutingService
from dynamo.runtime.raw import Client
from dynamo.sdk.errors import NotFound, RemoteError, Unavailable

logger = logging.getLogger("dynamo.llm")
MIGRATIONS = 3
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
        migrations: int = MIGRATIONS,
        resumable: Callable[[EngineRequest], bool] = lambda request: True,
        on_decision: Callable[[EngineRequest, Decision], None] = lambda request, decision: None,
    ) -> None:
        self.service = service
        self._client = client
        self._migrations = migrations
        self._resumable = resumable
        self._on_decision = on_decision

    async def generate(self, request: EngineRequest) -> AsyncGenerator[EngineStep, None]:
        """The steps of an answer. Raises RemoteError; Unavailable when no worker is left to go on."""
        made: list[int] = []
        without: set[int] = set()
        asked = request
        for attempt in range(1, self._migrations + 2):
            decision = await self._route(asked, without)
            logger.debug("request %s goes to worker %s: %s", asked.id, decision.worker, decision.reason)
            self._on_decision(asked, decision)
            try:
                async with contextlib.aclosing(self._steps(asked, decision)) as steps:
                    async for step in steps:
                        made += step.tokens
                        yield step
                        if step.finish_reason:
                            return
                raise Unavailable("the answer ended before it was complete")
            except RemoteError as error:
                if not _lost(error) or attempt > self._migrations or (made and not self._resumable(request)):
                    raise
                logger.warning("request %s leaves worker %s: %s", request.id, decision.worker, error.message)
            finally:
                self.service.finished(asked.id)
            without.add(decision.worker)
            if len(made) >= request.max_tokens:
                yield EngineStep(tokens=(), finish_reason="length")
                return
            asked = request.continued(made, attempt)

    async def _route(self, request: EngineRequest, without: set[int]) -> Decision:
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_SECONDS
        while True:
            try:
                return self.service.route(request.id, request.tokens, without)
            except NoWorkers as error:
                if loop.time() >= until:
                    raise Unavailable(f"request {request.id} cannot be routed: {error}") from error
            await asyncio.sleep(0.1)

    async def _steps(self, request: EngineRequest, decision: Decision) -> AsyncGenerator[EngineStep, None]:
        sent = replace(request, prefix_hit_rate=decision.prefix_hit_rate)
        call = self._client.direct(sent, decision.worker)
        call.wrap = _as_it_is
        reply = aiter(call)
        first = True
        try:
            async for item in reply:
                step = msgspec.convert(item, EngineStep)
                if step.finish_reason == "cancelled":
                    raise Unavailable("the worker is closing")
                if first:
                    first = False
                    self.service.first_token(request.id)
                yield step
        except msgspec.ValidationError as error:
            raise RemoteError(f"the worker's answer is not a step: {error}") from error
        finally:
            await reply.aclose()  # type: ignore[attr-defined]


def _as_it_is(item: Any) -> Any:
    return item


def _lost(error: RemoteError) -> bool:
    """Whether another worker may do better: the worker is gone, or refuses for now."""
    return error.retryable or (isinstance(error, NotFound) and not error.kind)
