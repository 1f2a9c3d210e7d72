"""The worker's side of routing: what it holds and how loaded it is, told to all routers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from dynamo.coordination.topics import Events
from dynamo.llm.kv import events, load
from dynamo.llm.kv.engine_events import EngineEvent
from dynamo.llm.kv.events import Cleared, KvEvent, KvMessage, Removed, Snapshot, Stored
from dynamo.llm.kv.hashing import block_hashes
from dynamo.llm.kv.held_blocks import EngineBlocks, HeldBlocks, UnknownParent, join_removals, split_removal
from dynamo.llm.kv.kv_topics import Listener, open_topic
from dynamo.llm.kv.load import ForwardPassMetrics, LoadMessage
from dynamo.sdk.errors import RemoteError

logger = logging.getLogger("dynamo.llm")
HASHES_A_MESSAGE = 32_768
SNAPSHOT_PAUSE_SECONDS = 0.05
"""Routers that start together are answered together."""
HEARTBEAT_SECONDS = 1.0
METRICS_SECONDS = 0.02
"""Metrics are told no more often than this."""


class KvEventPublisher:
    """Tells routers which blocks a worker holds. It remembers them, so that a router that missed something can ask.

    Call `start` once; then `stored`, `removed` and `cleared` by tokens and hashes, or `publish` and `publish_engine`
    with events, from the event loop. What happens in one turn of the loop travels together.
    """

    def __init__(self, events: Events, namespace: str, component: str, worker: int, block_size: int) -> None:
        self.worker = worker
        self.block_size = block_size
        self.session = secrets.randbits(48)
        self.number = 0
        self._events = open_topic(events, "kv_events", namespace, component)
        self._questions = open_topic(events, "kv_resync", namespace, component)
        self._held = HeldBlocks()
        self._engine = EngineBlocks(block_size)
        self._fresh: list[KvEvent] = []
        self._outgoing: deque[bytes] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._answering: asyncio.TimerHandle | None = None
        self._listener: Listener | None = None

    async def start(self) -> None:
        """Listen to the questions of routers."""
        self._listener = Listener(self._questions, self._on_question)

    async def close(self) -> None:
        """Say what is left to say and stop."""
        if self._answering is not None:
            self._answering.cancel()
        if self._listener is not None:
            await self._listener.close()
        self._flush_events()
        if self._sending is not None:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._sending, HEARTBEAT_SECONDS)

    @property
    def held(self) -> int:
        """How many blocks the worker holds."""
        return len(self._held)

    def stored(self, tokens: Sequence[int], *, parent: int | None = None) -> list[int]:
        """The full blocks of these tokens can be reused now; `parent` is the hash of the block before them.

        Returns their hashes, by which `removed` names them. Raises ValueError for tokens that are none.
        """
        hashes = block_hashes(tokens, self.block_size, parent=parent or 0)
        self.publish([Stored(hashes)])
        return hashes

    def removed(self, hashes: Sequence[int]) -> None:
        """These blocks are gone."""
        self.publish([Removed(list(hashes))])

    def cleared(self) -> None:
        """All blocks are gone."""
        self.publish([Cleared()])

    def publish_engine(self, events: Iterable[EngineEvent]) -> bool:
        """Tell events in an engine's own words; False when one of them follows a block that was never told.

        Raises ValueError for blocks of another size.
        """
        complete = True
        for event in events:
            try:
                self.publish([self._engine.apply_event(event)])
            except UnknownParent as error:
                complete = False
                logger.warning("KV events of the engine were lost: %s", error)
        return complete

    def publish(self, events: Iterable[KvEvent]) -> None:
        """Tell events."""
        for event in events:
            if isinstance(event, Stored):
                self._held.store_blocks(event.hashes)
            elif isinstance(event, Cleared):
                self._held.clear_blocks()
            if not self._fresh:
                asyncio.get_running_loop().call_soon(self._flush_events)
            self._fresh += self._held.remove_blocks(event.hashes) if isinstance(event, Removed) else [event]

    def _flush_events(self) -> None:
        events, self._fresh = self._fresh, []
        size, batch = 0, list[KvEvent]()
        for event in _merge_events(events):
            for part in _split_event(event):
                weight = len(part.hashes) if isinstance(part, Stored | Removed) else 1
                if batch and size + weight > HASHES_A_MESSAGE:
                    self._send_batch(batch)
                    size, batch = 0, []
                size += weight
                batch.append(part)
        if batch:
            self._send_batch(batch)

    def _send_batch(self, events: list[KvEvent]) -> None:
        self.number += 1
        self._send_message(KvMessage(self.worker, self.session, self.number, events))

    def _on_question(self, body: bytes) -> None:
        try:
            question = events.decode_resync(body)
        except ValueError:
            return
        if question.worker in (0, self.worker) and self._answering is None:
            # After a pause: all routers that lost the same message ask at once, and one answer serves all of them.
            self._answering = asyncio.get_running_loop().call_later(SNAPSHOT_PAUSE_SECONDS, self._send_snapshot)

    def _send_snapshot(self) -> None:
        self._answering = None
        # The blocks held already have the effect of events that wait to be sent. Those are numbered first, so that the
        # snapshot's number covers them: a router applies only events with a later number to what it read here.
        self._flush_events()
        count = max(-(-len(self._held) // HASHES_A_MESSAGE), 1)
        for part in range(count):
            rows = self._held.list_rows(part * HASHES_A_MESSAGE, (part + 1) * HASHES_A_MESSAGE)
            self._send_message(KvMessage(self.worker, self.session, self.number, [Snapshot(rows, part, count)]))

    def _send_message(self, message: KvMessage) -> None:
        self._outgoing.append(events.encode_message(message))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.ensure_future(self._publish_outgoing())

    async def _publish_outgoing(self) -> None:
        while self._outgoing:
            # A message that cannot be sent leaves a gap in the numbers; routers ask when they see it.
            with contextlib.suppress(RemoteError):
                await self._events.publish(self._outgoing.popleft(), str(self.worker))


def _merge_events(events: Iterable[KvEvent]) -> list[KvEvent]:
    found: list[KvEvent] = []
    for event in events:
        both = join_removals(found[-1], event) if found else None
        if both is not None:
            found[-1] = both
        else:
            found.append(event)
    return found


def _split_event(event: KvEvent) -> Iterable[KvEvent]:
    if isinstance(event, Removed) and len(event.hashes) > HASHES_A_MESSAGE:
        return split_removal(event, HASHES_A_MESSAGE)
    if isinstance(event, Stored) and len(event.hashes) > HASHES_A_MESSAGE:
        starts = range(0, len(event.hashes), HASHES_A_MESSAGE)
        return [Stored(event.hashes[start : start + HASHES_A_MESSAGE]) for start in starts]
    return [event]


class WorkerMetricsPublisher:
    """Tells routers how loaded a worker is: when `publish` is called, and again every second.

    With the worker's `KvEventPublisher` it also tells how many messages that one sent, so that a router notices when
    the last ones were lost.
    """

    def __init__(
        self,
        events: Events,
        namespace: str,
        component: str,
        worker: int,
        blocks: KvEventPublisher | None = None,
        on_error: Callable[[RemoteError], None] = lambda error: None,
    ) -> None:
        self.worker = worker
        self.metrics = ForwardPassMetrics()
        self._topic = open_topic(events, "load", namespace, component)
        self._blocks = blocks
        self._session = secrets.randbits(48)
        self._on_error = on_error
        self._changed = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin: routers see the worker before its first pass. Raises RemoteError."""
        await self._publish_metrics()
        self._telling = asyncio.ensure_future(self._run_heartbeat())

    def publish(self, metrics: ForwardPassMetrics) -> None:
        """These are the numbers now."""
        self.metrics = metrics
        self._changed.set()

    async def close(self) -> None:
        """Stop."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)

    async def _run_heartbeat(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._changed.wait()
            self._changed.clear()
            try:
                await self._publish_metrics()
            except RemoteError as error:
                self._on_error(error)
            await asyncio.sleep(METRICS_SECONDS)

    async def _publish_metrics(self) -> None:
        session, number = (self._blocks.session, self._blocks.number) if self._blocks else (self._session, 0)
        message = LoadMessage(self.worker, session, number, self.metrics)
        await self._topic.publish(load.encode_message(message), str(self.worker))
