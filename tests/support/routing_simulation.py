"""Routers over many simulated engines on a virtual clock: what TTFT, hit rate and throughput a workload gets."""

from __future__ import annotations

import heapq
import itertools
import random
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from dynamo.engines.batching import Batcher, Pass, SimulationSettings
from dynamo.engines.engine import EngineRequest, RequestTooLong
from dynamo.llm.kv.events import KvEvent, Stored
from dynamo.llm.kv.hashing import block_hashes
from dynamo.llm.kv_routing.router import KvRouter, Mode, RouterSettings

BLOCK = 64
ENGINE = SimulationSettings(block_size=BLOCK, blocks=4096, slots=64, pass_tokens=4096)
EVENT_SECONDS = 0.002
"""From the end of a pass until routers know what it stored."""
TENANTS = 19
"""Tenants for each worker; when the clock starts each one's beginning is held by one worker, however they are routed."""
PREFIX = 6000
TURNS = (4, 16)
"""How many turns follow the first one of a talk."""


@dataclass(slots=True)
class Arrival:
    """A request before it is routed; `then` is the next turn of its talk, so many seconds after its answer and not before
    that second of the run.
    """

    name: str
    tokens: tuple[int, ...]
    hashes: list[int]
    output: int
    then: Arrival | None = None
    pause: float = 0.0
    not_before: float = 0.0


class Texts:
    """Prompts that are made of a shared beginning and an end of their own. Engines and routers tell prompts apart by
    their block hashes; the tokens themselves are zeros, so that a thousand engines' prompts fit into memory.
    """

    def __init__(self) -> None:
        self._hashes: dict[object, list[int]] = {}
        self._names = itertools.count(1)

    def shared(self, name: object, length: int) -> list[int]:
        """The block hashes of the beginning of that name, as far as its blocks are full."""
        if name not in self._hashes:
            self._hashes[name] = block_hashes(self.words(length), BLOCK)
        return self._hashes[name]

    def words(self, length: int) -> range:
        """Tokens that nobody had."""
        begin = next(self._names) * 1_000_003 % 2**31
        return range(begin, begin + length)

    def prompt(self, shared: object, shared_length: int, own_length: int) -> tuple[tuple[int, ...], list[int]]:
        """The tokens and the block hashes of a prompt."""
        before = self.shared(shared, shared_length)
        own = block_hashes(self.words(own_length), BLOCK, parent=before[-1] if before else 0)
        return (0,) * (len(before) * BLOCK + own_length), before + own


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is asked, at which rate a second, for how long. `kind`: tenants, talks or unshared."""

    kind: str
    rate: float
    seconds: float
    seed: int = 1
    workers: int = 8
    arrivals: str = "poisson"

    def weights(self) -> list[float]:
        """How often each tenant asks, added up."""
        return list(itertools.accumulate(1 / (rank + 1) ** 0.6 for rank in range(TENANTS * self.workers)))

    def requests(self, texts: Texts) -> Iterator[tuple[float, Arrival]]:
        """When which request comes."""
        chance, now, weights = random.Random(self.seed), 0.0, self.weights()
        for number in itertools.count():
            gap = chance.expovariate(self.rate) if self.arrivals == "poisson" else 1 / self.rate
            now += gap
            if now > self.seconds:
                return
            yield now, self._request(number, chance, texts, weights)

    def _request(self, number: int, chance: random.Random, texts: Texts, weights: list[float]) -> Arrival:
        output = chance.randint(16, 112)
        if self.kind == "unshared":
            tokens, hashes = texts.prompt(None, 0, chance.randint(500, 2500))
            return Arrival(str(number), tokens, hashes, output)
        if self.kind == "tenants":
            (tenant,) = chance.choices(range(len(weights)), cum_weights=weights)
            tokens, hashes = texts.prompt(tenant, PREFIX, chance.randint(200, 800))
            return Arrival(str(number), tokens, hashes, output)
        tokens, hashes = texts.prompt("system", 1024, chance.randint(100, 1000))
        first = turn = Arrival(f"{number}.0", tokens, hashes, output)
        for step in range(1, chance.randint(*TURNS) + 1):
            # The answer is part of the next prompt; what it says is ours to choose, since the engine is simulated.
            known = len(turn.tokens) // BLOCK
            tokens = turn.tokens + (0,) * (turn.output + chance.randint(100, 1000))
            more = block_hashes(texts.words(len(tokens) - known * BLOCK), BLOCK, parent=turn.hashes[known - 1])
            hashes = turn.hashes[:known] + more
            turn.then = Arrival(f"{number}.{step}", tokens, hashes, chance.randint(16, 112))
            turn.pause = chance.expovariate(1 / 4)
            turn = turn.then
        return first


@dataclass(slots=True)
class Outcome:
    """What was seen of requests that came after the first third of the time; `begun` and `ended` are
    those that had their first or last token in that time, whenever they came.
    """

    first_tokens: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    prompt_tokens: int = 0
    cached_tokens: int = 0
    asked: int = 0
    answered: int = 0
    rejected: int = 0
    begun: int = 0
    ended: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def quantile(self, share: float) -> float:
        """That quantile of the times to the first token."""
        values = sorted(self.first_tokens)
        return values[min(int(len(values) * share), len(values) - 1)] if values else 0.0

    @property
    def hit_rate(self) -> float:
        """The share of prompt tokens that was not computed."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else 0.0

    @property
    def token_seconds(self) -> float:
        """The median time between the tokens of an answer."""
        return statistics.median(self.gaps) if self.gaps else 0.0


class Simulation:
    """One router, its workers, and their clock."""

    def __init__(
        self,
        mode: Mode,
        workload: Workload,
        engine: SimulationSettings = ENGINE,
        drain: bool = True,
        arrivals: Iterable[tuple[float, Arrival]] | None = None,
        held: Sequence[Sequence[int]] = (),
        **settings: object,
    ) -> None:
        self.now = 0.0
        self.workload = workload
        self.router = KvRouter(
            RouterSettings(block_size=engine.block_size, mode=mode, **settings),  # type: ignore[arg-type]
            lambda: self.now,
        )
        self.workers = {number + 1: Batcher(engine) for number in range(workload.workers)}
        self.outcome = Outcome()
        self._drain = drain
        self._approximate = mode == "approximate"
        self._order = itertools.count()
        self._heap: list[tuple[float, int, str, object]] = []
        self._busy: set[int] = set()
        self._known: dict[str, tuple[Arrival, int, float, bool]] = {}
        self._first: dict[str, float] = {}
        self._texts = Texts()
        self._arrivals = iter(workload.requests(self._texts) if arrivals is None else arrivals)
        if arrivals is None and workload.kind == "tenants":
            held = [self._texts.shared(tenant, PREFIX) for tenant in range(TENANTS * workload.workers)]
        self._warm(held)

    def run(self) -> Outcome:
        """Let all requests come, and end when they are answered (or, not draining, when the time is up)."""
        self._push_next()
        numbers = list(self.workers)
        while self._heap:
            self.now, _, kind, what = heapq.heappop(self._heap)
            if not self._drain and self.now > self.workload.seconds:
                break
            if kind == "arrival":
                self._push_next()
                self._arrive(what, numbers)  # type: ignore[arg-type]
            elif kind == "turn":
                self._arrive(what, numbers)  # type: ignore[arg-type]
            elif kind == "pass":
                self._passed(*what)  # type: ignore[misc]
            else:
                self._heard(*what)  # type: ignore[misc]
        self.outcome.seconds = max(self.now - self.workload.seconds / 3, 1e-9)
        return self.outcome

    def _warm(self, held: Sequence[Sequence[int]]) -> None:
        """Before the clock starts each of these beginnings is on one worker."""
        for tenant, hashes in enumerate(held):
            batcher = self.workers[tenant % len(self.workers) + 1]
            batcher.pool.take_blocks(len(hashes))
            batcher.pool.fill_blocks(hashes)
            batcher.pool.release_blocks(hashes, 0)
        for worker, batcher in self.workers.items():
            self._heard(worker, batcher.pool.drain_events())

    def _push(self, when: float, kind: str, what: object) -> None:
        heapq.heappush(self._heap, (when, next(self._order), kind, what))

    def _push_next(self) -> None:
        for when, arrival in itertools.islice(self._arrivals, 1):
            self._push(when, "arrival", arrival)

    def _arrive(self, arrival: Arrival, numbers: Sequence[int]) -> None:
        counted = self.now > self.workload.seconds / 3
        self.outcome.asked += counted
        worker = self.router.route(arrival.name, arrival.tokens, numbers, arrival.hashes).worker
        request = EngineRequest(id=arrival.name, tokens=arrival.tokens, max_tokens=arrival.output)
        try:
            self.workers[worker].add_request(request, arrival.hashes)
        except RequestTooLong:
            self.outcome.rejected += counted
            self.router.finished(arrival.name)
            return
        self._known[arrival.name] = (arrival, worker, self.now, counted)
        if worker not in self._busy:
            self._busy.add(worker)
            self._start(worker)

    def _start(self, worker: int) -> None:
        done = self.workers[worker].run_pass()
        self._push(self.now + done.seconds, "pass", (worker, done))

    def _passed(self, worker: int, done: Pass) -> None:
        batcher = self.workers[worker]
        for name, step in done.steps:
            arrival, _, came, counted = self._known[name]
            if name not in self._first:
                self._first[name] = self.now
                self.outcome.begun += self.now > self.workload.seconds / 3
                self.router.first_token(name)
                if counted:
                    self.outcome.first_tokens.append(self.now - came)
                    self.outcome.prompt_tokens += len(arrival.tokens)
                    self.outcome.cached_tokens += step.cached_tokens
            self.outcome.tokens += len(step.tokens) if self.now > self.workload.seconds / 3 else 0
            if step.finish_reason:
                self.router.finished(name)
                first = self._first.pop(name)
                del self._known[name]
                self.outcome.ended += self.now > self.workload.seconds / 3
                if counted:
                    self.outcome.answered += 1
                    self.outcome.gaps.append((self.now - first) / max(arrival.output - 1, 1))
                again = max(self.now + arrival.pause, arrival.not_before)
                if arrival.then is not None and again < self.workload.seconds:
                    self._push(again, "turn", arrival.then)
        events = batcher.pool.drain_events()
        if events:
            self._push(self.now + EVENT_SECONDS, "events", (worker, events))
        self.router.aggregator.heard(worker, batcher.build_metrics())
        if batcher.is_busy:
            self._start(worker)
        else:
            self._busy.discard(worker)

    def _heard(self, worker: int, events: list[KvEvent]) -> None:
        for event in events:
            if isinstance(event, Stored):
                if self._approximate and not self.now:
                    self.router.approximate.routed(worker, event.hashes, self.now)
                self.router.index.stored(worker, event.hashes)
            else:
                self.router.index.removed(worker, event.hashes)  # type: ignore[union-attr]
