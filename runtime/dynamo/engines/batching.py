"""Continuous batching without a model: which tokens each pass computes, how long it takes, and what comes out."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from dynamo.engines.blocks import BlockPool
from dynamo.engines.engine import EngineRequest, EngineStep, FinishReason, RequestTooLong
from dynamo.llm.disagg.policy import KvHandoff
from dynamo.llm.kv.hashing import ROOT, block_hashes
from dynamo.llm.kv.load import ForwardPassMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationSettings:
    """The engine that is simulated. Times are seconds; the defaults are those of an 8 B model on one large GPU.

    A pass takes `pass_seconds`, `prefill_seconds` for each prompt token, `attention_seconds` for each pair of a prompt
    token and one before it, `decode_seconds` for each block that a generating request has. A prompt that another
    engine computed takes `transfer_seconds` for each token to arrive.
    """

    block_size: int = 64
    blocks: int = 8192
    slots: int = 256
    pass_tokens: int = 8192
    pass_seconds: float = 0.006
    prefill_seconds: float = 40e-6
    attention_seconds: float = 1.5e-9
    decode_seconds: float = 1.5e-6
    transfer_seconds: float = 2e-6
    vocabulary: int = 32_000


class Running:
    """A request in the engine: its tokens so far, how many of them are computed, and the blocks it has."""

    __slots__ = (
        "cached",
        "computed",
        "done",
        "full",
        "goal",
        "hashes",
        "loose",
        "prompt",
        "received",
        "request",
        "tokens",
    )

    def __init__(self, request: EngineRequest, hashes: list[int], received: int = 0) -> None:
        self.request = request
        self.received = received
        self.prompt = len(request.tokens)
        self.tokens = list(request.tokens)
        self.goal = self.prompt + (1 if request.prefill_only else request.max_tokens)
        self.hashes = hashes
        self.computed = 0
        self.full = 0
        self.loose = 0
        self.cached = -1
        self.done = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One pass: how long it takes, and the steps that it ends with."""

    seconds: float
    steps: Sequence[tuple[str, EngineStep]]


class Batcher:
    """The scheduler of the simulated engine. `run` is one pass; the caller lets its time pass before it uses the
    steps. Requests are served in order; a long prompt is prefilled in chunks beside what others generate; when
    blocks run out the youngest request starts over later.
    """

    def __init__(self, settings: SimulationSettings) -> None:
        self.settings = settings
        self.pool = BlockPool(settings.blocks)
        self._waiting: deque[Running] = deque()
        self._running: list[Running] = []
        self._prompt_tokens = 0
        self._cached_tokens = 0

    def add_request(self, request: EngineRequest, hashes: Sequence[int] | None = None, received: int = 0) -> None:
        """Take a request; `hashes` when they are known already, `received` so many tokens that arrived computed.

        Raises RequestTooLong.
        """
        settings = self.settings
        if len(request.tokens) + request.max_tokens > settings.blocks * settings.block_size:
            raise RequestTooLong(
                f"{len(request.tokens)} tokens and {request.max_tokens} more do not fit into "
                f"{settings.blocks} blocks of {settings.block_size}"
            )
        if not request.tokens:
            raise RequestTooLong("an empty prompt cannot be continued")
        known = block_hashes(request.tokens, settings.block_size) if hashes is None else list(hashes)
        self._waiting.append(Running(request, known, received))

    def cancel_request(self, request: str) -> None:
        """Forget a request and free what it has."""
        for running in self._running:
            if running.request.id == request and not running.done:
                self._release_blocks(running)
        self._running = [running for running in self._running if not running.done]
        self._waiting = deque(waiting for waiting in self._waiting if waiting.request.id != request)

    @property
    def is_busy(self) -> bool:
        """Whether there is anything to compute."""
        return bool(self._running or self._waiting)

    def build_metrics(self) -> ForwardPassMetrics:
        """The seven numbers."""
        return ForwardPassMetrics(
            request_active_slots=len(self._running),
            request_total_slots=self.settings.slots,
            kv_active_blocks=self.pool.active_blocks,
            kv_total_blocks=self.pool.total,
            num_requests_waiting=len(self._waiting),
            gpu_cache_usage_perc=self.pool.active_blocks / self.pool.total,
            gpu_prefix_cache_hit_rate=self._cached_tokens / self._prompt_tokens if self._prompt_tokens else 0.0,
        )

    def run_pass(self) -> Pass:
        """One pass over what runs, and over what waits as far as there is room."""
        settings = self.settings
        budget, seconds = settings.pass_tokens, settings.pass_seconds
        steps: list[tuple[str, EngineStep]] = []
        for running in list(self._running):
            if running.done or budget < 1:
                continue
            left = len(running.tokens) - running.computed
            count = min(left, budget)
            if not self._make_room(running, count):
                continue
            budget -= count
            seconds += self._compute_tokens(running, count, steps)
        while self._waiting and budget > 0 and len(self._running) < settings.slots:
            running = self._waiting[0]
            if not self._admit_request(running, budget):
                break
            self._waiting.popleft()
            self._running.append(running)
            count = min(len(running.tokens) - running.computed, budget)
            budget -= count
            seconds += self._compute_tokens(running, count, steps)
        self._running = [running for running in self._running if not running.done]
        return Pass(seconds=seconds, steps=steps)

    def _admit_request(self, running: Running, budget: int) -> bool:
        """Give a request the blocks that are here already, and room for its first chunk."""
        size, pool = self.settings.block_size, self.pool
        # The last token is always computed: it is what the next one is made of.
        reusable = running.hashes[: (len(running.tokens) - 1) // size]
        held = running.hashes[: pool.count_prefix(reusable)]
        begun = max(len(held) * size, min(running.received, len(running.tokens) - 1))
        first = min(len(running.tokens) - begun, budget)
        needed = -(-(begun + first) // size) - len(held)
        if needed > pool.free_blocks - pool.count_kept(held):
            return False
        pool.share_blocks(held)
        pool.take_blocks(needed)
        running.full = begun // size
        running.computed = begun
        running.loose = needed - (running.full - len(held))
        pool.fill_blocks(running.hashes[len(held) : running.full])
        if running.cached < 0:
            running.cached = begun
            self._prompt_tokens += running.prompt
            self._cached_tokens += len(held) * size
        return True

    def _make_room(self, running: Running, count: int) -> bool:
        """Blocks for so many more tokens; others start over when that is what it takes, the youngest first."""
        size = self.settings.block_size
        needed = -(-(running.computed + count) // size) - running.full - running.loose
        while needed > 0 and not self.pool.take_blocks(needed):
            youngest = next(other for other in reversed(self._running) if not other.done)
            self._restart_request(youngest)
            if youngest is running:
                return False
        running.loose += max(needed, 0)
        return True

    def _restart_request(self, running: Running) -> None:
        self._release_blocks(running)
        again = Running(running.request, running.hashes)
        again.tokens, again.cached = running.tokens, running.cached
        self._waiting.appendleft(again)

    def _release_blocks(self, running: Running) -> None:
        self.pool.release_blocks(running.hashes[: running.full], running.loose)
        running.done = True

    def _compute_tokens(self, running: Running, count: int, steps: list[tuple[str, EngineStep]]) -> float:
        """The time of computing so many tokens of a request; its step when one comes out."""
        settings, size = self.settings, self.settings.block_size
        before = running.computed
        running.computed = after = before + count
        full = after // size
        if full > running.full:
            if full > len(running.hashes):
                parent = running.hashes[-1] if running.hashes else ROOT
                start = len(running.hashes) * size
                running.hashes += block_hashes(running.tokens[start : full * size], size, parent=parent)
            self.pool.fill_blocks(running.hashes[running.full : full])
            running.loose -= full - running.full
            running.full = full
        if after == len(running.tokens):
            steps.append((running.request.id, self._build_step(running)))
        if count == 1:
            return settings.decode_seconds * (running.full + running.loose)
        pairs = count * (before + count / 2)
        return settings.prefill_seconds * count + settings.attention_seconds * pairs

    def _build_step(self, running: Running) -> EngineStep:
        token = next_token(running.tokens[-1], len(running.tokens), self.settings.vocabulary)
        reason: FinishReason | None = None
        if token in running.request.stop_tokens:
            reason = "stop"
        else:
            running.tokens.append(token)
            if len(running.tokens) >= running.goal:
                reason = "length"
        if reason:
            self._release_blocks(running)
        made = () if reason == "stop" else (token,)
        handoff = None
        if running.request.prefill_only:
            made, handoff = (), KvHandoff(request=running.request.id, parameters={"tokens": running.prompt})
        return EngineStep(tokens=made, finish_reason=reason, cached_tokens=running.cached, handoff=handoff)


def next_token(last: int, position: int, vocabulary: int) -> int:
    """What a simulated engine says next: the same after the same tokens, on every worker."""
    return (last * 1_103_515_245 + position * 12_345 + 1) % vocabulary
