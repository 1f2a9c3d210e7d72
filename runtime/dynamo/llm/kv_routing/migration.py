"""Answers that outlive who gives them: a stream that breaks off goes on with another call for the rest."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, Callable

from dynamo.llm.generation import EngineRequest, EngineStep
from dynamo.sdk.errors import NotFound, RemoteError, Unavailable

logger = logging.getLogger("dynamo.llm")
ATTEMPTS = 3


def allow_always(request: EngineRequest) -> bool:
    """Every request can go on elsewhere."""
    return True


async def resumed(
    ask: Callable[[EngineRequest], AsyncGenerator[EngineStep, None]],
    request: EngineRequest,
    *,
    attempts: int = ATTEMPTS,
    resumable: Callable[[EngineRequest], bool] = allow_always,
) -> AsyncGenerator[EngineStep, None]:
    """The steps of an answer that `ask` gives; when it breaks off, of further calls, `attempts` at most.

    The tokens that were made become part of the prompt, so none is missing and none comes twice. For requests of which
    `resumable` says no, a loss is raised once a token was given out. Raises RemoteError.
    """
    made: list[int] = []
    asked = request
    for attempt in range(1, attempts + 2):
        try:
            async with contextlib.aclosing(ask(asked)) as steps:
                async for step in steps:
                    if step.finish_reason == "cancelled":
                        raise Unavailable("the worker is closing")
                    made += step.tokens
                    yield step
                    if step.finish_reason:
                        return
            raise Unavailable("the answer ended before it was complete")
        except RemoteError as error:
            if not is_lost(error) or attempt > attempts or (made and not resumable(request)):
                raise
            logger.warning("request %s goes on elsewhere after %s tokens: %s", request.id, len(made), error.message)
        if len(made) >= request.max_tokens:
            yield EngineStep(tokens=(), finish_reason="length")
            return
        asked = request.continued(made, attempt)


def is_lost(error: RemoteError) -> bool:
    """Whether another worker may do better: this one is gone, or refuses for now."""
    return error.retryable or (isinstance(error, NotFound) and not error.kind)
