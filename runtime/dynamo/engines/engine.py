"""The one Protocol of engines: a request of tokens in, steps of tokens out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from dynamo.llm.disaggregation import KvHandoff

FinishReason: TypeAlias = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """What an engine is asked for. `sampling` is the engine's own; `handoff` comes from a prefill worker."""

    id: str
    tokens: tuple[int, ...]
    max_tokens: int = 16
    stop_tokens: frozenset[int] = frozenset()
    sampling: Mapping[str, Any] = field(default_factory=dict)
    handoff: KvHandoff | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStep:
    """What an engine made since the last step. The last one has a reason; `cached_tokens` is known from the first."""

    tokens: tuple[int, ...]
    finish_reason: FinishReason | None = None
    cached_tokens: int = 0
    handoff: KvHandoff | None = None


class RequestTooLong(ValueError):
    """A prompt, with what was asked for, does not fit into the engine at all."""


class Engine(Protocol):
    """Makes tokens. Closing the iterator early frees what the request held."""

    def generate(self, request: EngineRequest) -> AsyncIterator[EngineStep]:
        """The steps of an answer. Raises RequestTooLong."""

    async def close(self) -> None:
        """End all requests and let go of everything."""
