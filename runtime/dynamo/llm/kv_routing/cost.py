"""Cost of sending a prompt to a worker: two formulas, or a function of the user."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dynamo.llm.kv.load import ForwardPassMetrics, Work
from dynamo.sdk.errors import BadConfiguration

OVERLAP_WEIGHT = 16.0
"""What a block to prefill costs, in blocks in use. The reference has 1; measured in docs/benchmarks.md, 4 to 64 serve
shared prefixes and unshared prompts better, since a block is prefilled in the time of many decode steps over it."""


@dataclass(slots=True, eq=False)
class Candidate:
    """A worker that could take a prompt: how many of its first blocks it holds, its numbers, its predicted load."""

    worker: int
    overlap_blocks: int
    metrics: ForwardPassMetrics
    work: Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What is to be routed."""

    tokens: int
    block_size: int

    @property
    def blocks(self) -> int:
        """The blocks it needs, the last and partial one included."""
        return -(-self.tokens // self.block_size)

    def missing_tokens(self, candidate: Candidate) -> int:
        """What that worker would have to prefill; at least one token, since the last is always computed."""
        return max(self.tokens - candidate.overlap_blocks * self.block_size, min(self.tokens, 1))

    def hit_rate(self, candidate: Candidate) -> float:
        """The share of the prompt that the worker holds, 0 to 1."""
        return min(candidate.overlap_blocks * self.block_size / self.tokens, 1.0) if self.tokens else 0.0


Cost: TypeAlias = Callable[[Prompt, Sequence[Candidate]], Sequence[float]]
"""One number for each candidate, in their order; the lowest is chosen."""


def build_linear_cost(overlap_weight: float = OVERLAP_WEIGHT) -> Cost:
    """Blocks to prefill, weighted, and blocks in use, both with this prompt and as the router predicts them."""

    def cost(prompt: Prompt, candidates: Sequence[Candidate]) -> list[float]:
        tokens, size, blocks = prompt.tokens, prompt.block_size, prompt.blocks
        scale, least = overlap_weight / size, min(tokens, 1)
        return [
            scale * (one.work.prefill_tokens + max(tokens - one.overlap_blocks * size, least))
            + one.work.blocks
            + blocks
            for one in candidates
        ]

    return cost


def compute_logit_cost(prompt: Prompt, candidates: Sequence[Candidate]) -> list[float]:
    """The formula of the early SDK, negated: `2·overlap - cache usage - waiting / most waiting`."""
    most = max((one.metrics.num_requests_waiting for one in candidates), default=0)
    return [
        one.metrics.gpu_cache_usage_perc
        + (one.metrics.num_requests_waiting / most if most else 0.0)
        - 2 * prompt.hit_rate(one)
        for one in candidates
    ]


def load_cost(name: str, overlap_weight: float = OVERLAP_WEIGHT) -> Cost:
    """The cost function of a configuration: `linear`, `logit` or `module:function` of the user's.

    Raises BadConfiguration when there is none of that name.
    """
    if name == "linear":
        return build_linear_cost(overlap_weight)
    if name == "logit":
        return compute_logit_cost
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise BadConfiguration(f"`{name}` is not a cost function; there are `linear`, `logit` and `module:function`")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise BadConfiguration(f"the cost function `{name}` cannot be loaded: {error}") from error
    if not callable(found):
        raise BadConfiguration(f"`{name}` is not a function")
    cost: Cost = found
    return cost
