"""The one Protocol of engines: a request of tokens in, steps of tokens out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dynamo.llm.generation import EngineRequest, EngineStep, FinishReason, RequestTooLong
from dynamo.llm.kv.engine_events import EngineEvent
from dynamo.llm.kv.events import KvEvent
from dynamo.llm.kv.load import ForwardPassMetrics

__all__ = ["Engine", "EngineRequest", "EngineSetup", "EngineStep", "FinishReason", "RequestTooLong"]


class Engine(Protocol):
    """Makes tokens. Closing the iterator early frees what the request held."""

    def generate(self, request: EngineRequest) -> AsyncGenerator[EngineStep, None]:
        """The steps of an answer. Raises RequestTooLong."""

    async def close(self) -> None:
        """End all requests and let go of everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSetup:
    """All that an engine's factory gets: `factory(setup)` returns an Engine, or an awaitable of one.

    `values` are the keys of the service's configuration, `arguments` the same for a command line's parser. `block_size`
    is in tokens. The engine calls `on_events` (or `on_engine_events`, with its own names of blocks) when its cache
    changes, and `on_metrics` when its load does; each is optional.
    """

    values: Mapping[str, Any]
    arguments: tuple[str, ...]
    block_size: int
    on_events: Callable[[list[KvEvent]], None]
    on_engine_events: Callable[[list[EngineEvent]], Any]
    on_metrics: Callable[[ForwardPassMetrics], None]
