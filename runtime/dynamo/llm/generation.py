"""Values between a caller and an engine: a request in, steps out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from dynamo.llm.disagg.policy import KvHandoff

FinishReason: TypeAlias = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """What an engine is asked for. `sampling` is the engine's own; `prefix_hit_rate` is what the router thinks that
    the worker holds of the prompt. With `prefill_only` the engine computes the prompt and says in its last step how
    another one gets it; that one is given the same as `handoff`.
    """

    id: str
    tokens: tuple[int, ...]
    max_tokens: int = 16
    stop_tokens: frozenset[int] = frozenset()
    sampling: Mapping[str, Any] = field(default_factory=dict)
    handoff: KvHandoff | None = None
    prefix_hit_rate: float = 0.0
    prefill_only: bool = False

    def continued(self, made: Sequence[int], attempt: int) -> EngineRequest:
        """The same request for another worker, after these tokens were made."""
        return replace(
            self,
            id=f"{self.id}~{attempt}",
            tokens=(*self.tokens, *made),
            max_tokens=self.max_tokens - len(made),
            handoff=None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStep:
    """What an engine made since the last step. The last one has a reason; `cached_tokens` is known from the first.

    `logprobs`, where they were asked for: for each token its own and those of the likeliest, by token, its own first.
    """

    tokens: tuple[int, ...]
    finish_reason: FinishReason | None = None
    cached_tokens: int = 0
    handoff: KvHandoff | None = None
    logprobs: tuple[Mapping[int, float], ...] = ()


class RequestTooLong(ValueError):
    """A prompt, with what was asked for, does not fit into the engine at all."""
