"""The one Protocol of engines: a request of tokens in, steps of tokens out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from dynamo.llm.generation import EngineRequest, EngineStep, FinishReason, RequestTooLong

__all__ = ["Engine", "EngineRequest", "EngineStep", "FinishReason", "RequestTooLong"]


class Engine(Protocol):
    """Makes tokens. Closing the iterator early frees what the request held."""

    def generate(self, request: EngineRequest) -> AsyncGenerator[EngineStep, None]:
        """The steps of an answer. Raises RequestTooLong."""

    async def close(self) -> None:
        """End all requests and let go of everything."""
