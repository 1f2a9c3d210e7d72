"""The engine that gives back what it was given: for tests of everything around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from dynamo.engines.engine import EngineRequest, EngineSetup, EngineStep
from dynamo.sdk.config import read_setting


class EchoEngine:
    """Answers with the tokens of the prompt, one a step, `delay` seconds each."""

    def __init__(self, delay: float = 0.0) -> None:
        self._delay = delay

    async def generate(self, request: EngineRequest) -> AsyncGenerator[EngineStep, None]:
        """The prompt again, as far as `max_tokens` go, up to the first stop token."""
        for count, token in enumerate(request.tokens[: request.max_tokens], 1):
            await asyncio.sleep(self._delay)
            if token in request.stop_tokens:
                break
            if count == request.max_tokens:
                yield EngineStep(tokens=(token,), finish_reason="length")
                return
            yield EngineStep(tokens=(token,))
        yield EngineStep(tokens=(), finish_reason="stop")

    async def close(self) -> None:
        """There is nothing to let go of."""


def start_configured(setup: EngineSetup) -> EchoEngine:
    """The engine of a configuration. Raises BadConfiguration."""
    return EchoEngine(read_setting(setup.values, "delay", 0.0, least=0))
