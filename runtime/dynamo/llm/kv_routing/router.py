"""Choice of the worker that gets a prompt, with its reason."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, TypeAlias

from dynamo.llm.kv.approximate import ApproxKvIndexer
from dynamo.llm.kv.hashing import block_hashes
from dynamo.llm.kv.index import KvIndexer
from dynamo.llm.kv.load import KvMetricsAggregator, Prediction
from dynamo.llm.kv_routing.cost import Candidate, Cost, Prompt, build_linear_cost

Mode: TypeAlias = Literal["kv", "approximate", "round-robin", "random"]
_SAME = 1e-9


class NoWorkers(LookupError):
    """There is nobody to route to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterSettings:
    """How to route. The guard sends a prompt to the least loaded worker when the most loaded one has over
    `imbalance_requests` more and over `imbalance_ratio` times as many requests; 0 turns it off.
    """

    block_size: int = 64
    mode: Mode = "kv"
    cost: Cost = build_linear_cost()
    temperature: float = 0.0
    imbalance_requests: int = 64
    imbalance_ratio: float = 1.5
    approximate_seconds: float = 120.0
    approximate_blocks: int = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Where a prompt goes: the worker, how much of the prompt it holds, and the reason as a log line has it."""

    worker: int
    overlap_blocks: int
    prefix_hit_rate: float
    reason: str
    costs: Mapping[int, float]

    def __str__(self) -> str:
        """The answer of the reference's router: `<worker>_<hit rate>`."""
        return f"{self.worker}_{self.prefix_hit_rate}"


class KvRouter:
    """Decides by what workers hold and how loaded they are. Feed `index`, `aggregator` and `prediction`, or leave
    that to `RoutingService`. Two routers that were fed alike decide alike: chance is drawn from the
    request's name and the seed.
    """

    def __init__(self, settings: RouterSettings, clock: Callable[[], float], seed: int = 0) -> None:
        self.settings = settings
        self.index = KvIndexer()
        self.approximate = ApproxKvIndexer(settings.approximate_seconds, settings.approximate_blocks)
        self.aggregator = KvMetricsAggregator(clock)
        self.prediction = Prediction(clock)
        self._clock = clock
        self._seed = seed
        self._turn = 0

    def route(
        self, request: str, tokens: Sequence[int], workers: Sequence[int], hashes: Sequence[int] | None = None
    ) -> Decision:
        """Choose a worker and count the request as its work at once. Say `first_token` and `finished` later.

        Raises NoWorkers, and ValueError for tokens that are none.
        """
        if hashes is None:
            hashes = block_hashes(tokens, self.settings.block_size)
        decision = self.decide(tokens, workers, hashes, request)
        prompt = Prompt(tokens=len(tokens), block_size=self.settings.block_size)
        missing = max(prompt.tokens - decision.overlap_blocks * prompt.block_size, min(prompt.tokens, 1))
        self.prediction.add_request(request, decision.worker, missing, prompt.blocks)
        if self.settings.mode == "approximate":
            self.approximate.routed(decision.worker, hashes, self._clock())
        return decision

    def first_token(self, request: str) -> None:
        """A request's prefill is done."""
        self.prediction.end_prefill(request)

    def finished(self, request: str) -> None:
        """A request ended, however."""
        self.prediction.remove_request(request)

    def gone(self, worker: int) -> None:
        """A worker left."""
        for part in (self.index, self.approximate, self.aggregator, self.prediction):
            part.gone(worker)

    def decide(
        self, tokens: Sequence[int], workers: Sequence[int], hashes: Sequence[int], request: str = ""
    ) -> Decision:
        """Choose a worker, and change nothing but whose turn it is. Raises NoWorkers."""
        if not workers:
            raise NoWorkers("no worker is there")
        prompt = Prompt(tokens=len(tokens), block_size=self.settings.block_size)
        if self.settings.mode == "approximate":
            scores = self.approximate.match(hashes, self._clock())
        else:
            scores = self.index.match(hashes)
        overlap, metrics, work = scores.get, self.aggregator.get, self.prediction.get_work
        candidates = [Candidate(worker, overlap(worker, 0), metrics(worker), work(worker)) for worker in workers]
        chosen, reason, costs = self._choose_candidate(prompt, candidates, request)
        return Decision(
            worker=chosen.worker,
            overlap_blocks=chosen.overlap_blocks,
            prefix_hit_rate=prompt.hit_rate(chosen),
            reason=reason,
            costs=costs,
        )

    def _choose_candidate(
        self, prompt: Prompt, candidates: list[Candidate], request: str
    ) -> tuple[Candidate, str, dict[int, float]]:
        settings = self.settings
        if settings.mode == "random":
            return candidates[int(self._draw_number(request) * len(candidates))], "random", {}
        if settings.mode == "round-robin":
            chosen = candidates[self._turn % len(candidates)]
            self._turn += 1
            return chosen, "round-robin", {}
        requests = [one.work.requests for one in candidates]
        most, least = max(requests), min(requests)
        if 0 < settings.imbalance_requests < most - least and most > settings.imbalance_ratio * least:
            return (
                self._least_loaded(candidates, request),
                f"imbalance: {most} requests on one worker, {least} on another",
                {},
            )
        values = list(settings.cost(prompt, candidates))
        if len(values) != len(candidates) or not all(map(math.isfinite, values)):
            raise ValueError(f"the cost function gave {values} for {len(candidates)} workers")
        costs = dict(zip((one.worker for one in candidates), values, strict=True))
        if settings.temperature > 0:
            chosen = self._draw_candidate(candidates, values, request)
            return chosen, f"cost {costs[chosen.worker]:.4g} of {min(values):.4g} to {max(values):.4g}, drawn", costs
        bound = min(values) + _SAME
        best = [one for one, value in zip(candidates, values, strict=True) if value <= bound]
        chosen = self._least_loaded(best, request)
        tie = f", {len(best)} equal" if len(best) > 1 else ""
        held = f"{chosen.overlap_blocks} of {prompt.blocks} blocks held"
        return chosen, f"cost {costs[chosen.worker]:.4g}{tie}, {held}", costs

    def _least_loaded(self, candidates: list[Candidate], request: str) -> Candidate:
        def load(one: Candidate) -> tuple[int, int, int]:
            return (one.work.requests, one.work.blocks, one.work.recent)

        least = min(map(load, candidates))
        equal = [one for one in candidates if load(one) == least]
        return equal[0] if len(equal) == 1 else equal[int(self._draw_number(request) * len(equal))]

    def _draw_candidate(self, candidates: list[Candidate], values: Sequence[float], request: str) -> Candidate:
        low, spread = min(values), (max(values) - min(values)) or 1.0
        weights = [math.exp((low - value) / spread / self.settings.temperature) for value in values]
        left = self._draw_number(request) * sum(weights)
        for candidate, weight in zip(candidates, weights, strict=True):
            left -= weight
            if left < 0:
                return candidate
        return candidates[-1]

    def _draw_number(self, request: str) -> float:
        """0 to under 1, the same for one request in all routers of one seed."""
        digest = blake2b(f"{self._seed}/{request}".encode(), digest_size=4).digest()
        number: int = struct.unpack("<I", digest)[0]
        return number / 2**32
