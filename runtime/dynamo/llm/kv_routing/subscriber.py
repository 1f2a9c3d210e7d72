"""Messages of workers to a router, in order: lost messages are noticed and asked for, doubled ones ignored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dynamo.llm.kv import events, load
from dynamo.llm.kv.events import Cleared, KvMessage, Removed, Snapshot, Stored
from dynamo.llm.kv_routing.router import KvRouter

ASK_SECONDS = 1.0
"""A worker is not asked for its snapshot more often than this."""


@dataclass(slots=True)
class _Heard:
    """How far a router knows a worker. `told` is how far the worker said it is, as of its last heartbeat."""

    session: int
    number: int = 0
    told: int = 0
    stale: bool = False
    asked: float = float("-inf")
    next_part: int = 0


class KvFeed:
    """Feeds a router's index and aggregator with messages of workers, in any order, some lost, some twice.

    `ask` is called with a worker whose blocks are not known as they are; the answer comes as a message.
    """

    def __init__(self, router: KvRouter, ask: Callable[[int], None], clock: Callable[[], float]) -> None:
        self._router = router
        self._ask = ask
        self._clock = clock
        self._heard: dict[int, _Heard] = {}
        self.malformed = 0
        self.gaps = 0
        self.doubled = 0

    def on_kv(self, body: bytes) -> None:
        """A message of KV events arrived."""
        try:
            message = events.decode_message(body)
        except ValueError:
            self.malformed += 1
            return
        heard = self._get_state(message.worker, message.session)
        if any(isinstance(event, Snapshot) for event in message.events):
            self._apply_snapshot(message, heard)
        elif message.number <= heard.number:
            self.doubled += 1
        else:
            if message.number != heard.number + 1:
                self.gaps += 1
                heard.stale = True
            heard.number = message.number
            heard.next_part = 0
            self._apply_events(message)
            self._request_snapshot(message.worker, heard)

    def on_load(self, body: bytes) -> None:
        """A worker's numbers arrived, and with them how many messages it sent."""
        try:
            message = load.decode_message(body)
        except ValueError:
            self.malformed += 1
            return
        self._router.aggregator.heard(message.worker, message.metrics)
        heard = self._get_state(message.worker, message.session)
        # What it had said by the heartbeat before this one must have arrived by now.
        if heard.number < heard.told:
            heard.stale = True
        heard.told = message.number
        self._request_snapshot(message.worker, heard)

    def track_worker(self, worker: int) -> None:
        """A worker is there that was not heard yet: it is asked, now and then."""
        heard = self._heard.get(worker)
        if heard is None:
            heard = self._heard[worker] = _Heard(session=0, stale=True)
        self._request_snapshot(worker, heard)

    def remove_worker(self, worker: int) -> None:
        """A worker left."""
        self._heard.pop(worker, None)

    def list_stale(self) -> list[int]:
        """The workers whose blocks are not known as they are."""
        return [worker for worker, heard in self._heard.items() if heard.stale]

    @property
    def workers(self) -> tuple[int, ...]:
        """The workers that were heard or asked."""
        return tuple(self._heard)

    @property
    def is_complete(self) -> bool:
        """Whether the blocks of all workers are known as they are."""
        return not self.list_stale()

    def _get_state(self, worker: int, session: int) -> _Heard:
        heard = self._heard.get(worker)
        if heard is None or heard.session != session:
            if heard is not None and heard.session:
                self._router.index.cleared(worker)
            heard = self._heard[worker] = _Heard(session=session)
        return heard

    def _request_snapshot(self, worker: int, heard: _Heard) -> None:
        now = self._clock()
        if heard.stale and now - heard.asked >= ASK_SECONDS:
            heard.asked = now
            self._ask(worker)

    def _apply_snapshot(self, message: KvMessage, heard: _Heard) -> None:
        snapshot = next(event for event in message.events if isinstance(event, Snapshot))
        if not heard.stale and message.number == heard.number:
            return  # the answer to another router's question
        if message.number < heard.number or snapshot.part not in (0, heard.next_part):
            heard.next_part = 0
            return  # older than what is known, or a part of it was lost: asked for again
        if snapshot.part == 0:
            self._router.index.cleared(message.worker)
        for row in snapshot.rows:
            self._router.index.stored(message.worker, row)
        heard.next_part = snapshot.part + 1
        heard.stale = heard.next_part < snapshot.parts
        if not heard.stale:
            heard.next_part = 0
            heard.number = message.number

    def _apply_events(self, message: KvMessage) -> None:
        index, worker = self._router.index, message.worker
        for event in message.events:
            if isinstance(event, Stored):
                index.stored(worker, event.hashes)
            elif isinstance(event, Removed):
                index.removed(worker, event.hashes, event.after)
            elif isinstance(event, Cleared):
                index.cleared(worker)
