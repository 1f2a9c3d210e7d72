"""An estimate of the KV blocks of each worker, for engines without events: the prompts routed there lately."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from dynamo.llm.kv.index import KvIndexer


class ApproxKvIndexer:
    """A `KvIndexer` that is fed by the router's own decisions.

    A block is believed for `seconds` after the last prompt with it was sent to the worker; of more than
    `blocks_per_worker` the oldest are forgotten, those at the ends of prompts first.
    """

    def __init__(self, seconds: float = 120.0, blocks_per_worker: int = 1 << 16) -> None:
        self.seconds = seconds
        self.blocks_per_worker = blocks_per_worker
        self._index = KvIndexer()
        self._until: dict[int, dict[int, float]] = {}

    def routed(self, worker: int, hashes: Sequence[int], now: float) -> None:
        """A prompt was sent to a worker, which will hold its blocks."""
        until = self._until.setdefault(worker, {})
        end = now + self.seconds
        for key in reversed(hashes):
            until.pop(key, None)  # at its new place, so that the order is that of time
            until[key] = end
        self._index.stored(worker, hashes)
        self._forget_expired(worker, now)

    def match(self, hashes: Sequence[int], now: float) -> dict[int, int]:
        """How many blocks from the start of a prompt each worker probably holds."""
        for worker in self._until:
            self._forget_expired(worker, now)
        return self._index.match(hashes)

    def gone(self, worker: int) -> None:
        """A worker left."""
        self._until.pop(worker, None)
        self._index.gone(worker)

    @property
    def workers(self) -> tuple[int, ...]:
        """The workers that anything was routed to."""
        return self._index.workers

    def blocks_of(self, worker: int) -> int:
        """How many blocks a worker is believed to hold."""
        return len(self._until.get(worker, ()))

    def _forget_expired(self, worker: int, now: float) -> None:
        until = self._until[worker]
        over = max(len(until) - self.blocks_per_worker, 0)
        gone = list(islice(until, over))
        for key, end in islice(until.items(), over, None):
            if end > now:
                break
            gone.append(key)
        for key in gone:
            del until[key]
        self._index.removed(worker, gone)
