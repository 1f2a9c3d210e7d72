"""Load of workers as they report it, and as the router predicts it before they do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec


class ForwardPassMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """The seven numbers of a worker after a pass; the defaults are what it says before its first one."""

    request_active_slots: int = 0
    request_total_slots: int = 1024
    kv_active_blocks: int = 0
    kv_total_blocks: int = 1024
    num_requests_waiting: int = 0
    gpu_cache_usage_perc: float = 0.0
    gpu_prefix_cache_hit_rate: float = 0.0


_IDLE = ForwardPassMetrics()


class LoadMessage(msgspec.Struct, frozen=True):
    """A worker's numbers, and which of its KV messages was the last: how a router notices that it missed the end."""

    worker: int
    session: int
    number: int
    metrics: ForwardPassMetrics


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(LoadMessage).decode


def encode_message(message: LoadMessage) -> bytes:
    """A message as it travels."""
    return _encode(message)


def decode_message(payload: bytes) -> LoadMessage:
    """A worker's message. Raises ValueError when it is not one."""
    return _decode(payload)


class KvMetricsAggregator:
    """The last numbers of each worker. A worker that is silent for `patience` seconds is forgotten."""

    def __init__(self, clock: Callable[[], float], patience: float = 10.0) -> None:
        self._clock = clock
        self._patience = patience
        self._heard: dict[int, tuple[float, ForwardPassMetrics]] = {}

    def heard(self, worker: int, metrics: ForwardPassMetrics) -> None:
        """A worker said how it is."""
        self._heard[worker] = (self._clock(), metrics)

    def gone(self, worker: int) -> None:
        """A worker left."""
        self._heard.pop(worker, None)

    def silent(self) -> list[int]:
        """The workers that said nothing for too long; they are forgotten with this call."""
        before = self._clock() - self._patience
        late = [worker for worker, (when, _) in self._heard.items() if when < before]
        for worker in late:
            del self._heard[worker]
        return late

    def get(self, worker: int) -> ForwardPassMetrics:
        """A worker's numbers; those of an idle one when it said nothing yet."""
        heard = self._heard.get(worker)
        return heard[1] if heard else _IDLE

    @property
    def workers(self) -> tuple[int, ...]:
        """The workers that said anything."""
        return tuple(self._heard)


RECENT = 32
"""How many requests for each worker are counted before the counts are halved."""


@dataclass(slots=True)
class Work:
    """What the router sent to a worker and did not see end: tokens still to prefill, blocks in use, requests.

    `recent` is its part of what was routed lately, ended or not: those who asked will be back, and their prompts are
    in its cache.
    """

    prefill_tokens: int = 0
    blocks: int = 0
    requests: int = 0
    recent: int = 0


class Prediction:
    """The load of each worker by the router's own count: right at once, where metrics come a pass later.

    The three calls are also what router replicas tell each other.
    """

    def __init__(self, clock: Callable[[], float], patience: float = 900.0) -> None:
        self._clock = clock
        self._patience = patience
        self._work: dict[int, Work] = {}
        self._open: dict[str, tuple[int, int, int, float]] = {}
        self._recent = 0

    def add_request(self, request: str, worker: int, prefill_tokens: int, blocks: int) -> None:
        """A request was sent to a worker that has to prefill so many tokens and needs so many blocks."""
        self.remove_request(request)
        self._expire_requests()
        self._open[request] = (worker, prefill_tokens, blocks, self._clock() + self._patience)
        work = self._work.setdefault(worker, Work())
        work.prefill_tokens += prefill_tokens
        work.blocks += blocks
        work.requests += 1
        work.recent += 1
        self._recent += 1
        if self._recent > RECENT * len(self._work):
            for each in self._work.values():
                each.recent //= 2
            self._recent = sum(each.recent for each in self._work.values())

    def end_prefill(self, request: str) -> None:
        """Its first token came."""
        entry = self._open.get(request)
        if entry is not None:
            worker, tokens, blocks, until = entry
            self._open[request] = (worker, 0, blocks, until)
            self._work[worker].prefill_tokens -= tokens

    def remove_request(self, request: str) -> None:
        """It ended, however."""
        entry = self._open.pop(request, None)
        if entry is not None:
            worker, tokens, blocks, _ = entry
            work = self._work[worker]
            work.prefill_tokens -= tokens
            work.blocks -= blocks
            work.requests -= 1

    def gone(self, worker: int) -> None:
        """A worker left, and its requests with it."""
        for request in [name for name, entry in self._open.items() if entry[0] == worker]:
            del self._open[request]
        left = self._work.pop(worker, None)
        self._recent -= left.recent if left else 0

    def get_work(self, worker: int) -> Work:
        """What a worker has to do."""
        return self._work.get(worker) or Work()

    def list_work(self, workers: Iterable[int]) -> list[Work]:
        """What each of these workers has to do."""
        return [self.get_work(worker) for worker in workers]

    def _expire_requests(self) -> None:
        now = self._clock()
        while self._open:
            request, entry = next(iter(self._open.items()))
            if entry[3] > now:
                return
            self.remove_request(request)
