"""Times of requests to their first token and between the others, as a listener among routers learns it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable

from dynamo.coordination.topics import Events
from dynamo.llm.kv.kv_topics import Listener, open_topic
from dynamo.llm.kv_routing.replicas import (
    HEARTBEAT_SECONDS,
    Prefilled,
    Routed,
    RouterMessage,
    decode_message,
    encode_message,
)
from dynamo.sdk.errors import RemoteError

MOST_OPEN = 100_000


class RequestTimings:
    """Times the requests of all routers of a component, which tell each other of them.

    A router that is alone tells nobody, so this one says now and then that somebody listens.
    """

    def __init__(self, events: Events, namespace: str, component: str, clock: Callable[[], float]) -> None:
        self._id = secrets.randbits(48)
        self._topic = open_topic(events, "routers", namespace, component)
        self._clock = clock
        self._routed: dict[tuple[int, str], float] = {}
        self._begun: dict[tuple[int, str], float] = {}
        self._first: list[float] = []
        self._gaps: list[float] = []
        self._listener: Listener | None = None
        self._telling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to listen."""
        self._listener = Listener(self._topic, self.on_message)
        self._telling = asyncio.ensure_future(self._send_hellos())

    async def close(self) -> None:
        """Stop."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
        if self._listener is not None:
            await self._listener.close()

    def on_message(self, body: bytes) -> None:
        """A router told what it did."""
        try:
            message = decode_message(body)
        except ValueError:
            return
        now = self._clock()
        for event in message.events:
            key = (message.router, event.request)
            if isinstance(event, Routed):
                # One whose first token came already is told to listeners that were not there then.
                if event.prefill_tokens:
                    _record_time(self._routed, key, now)
                continue
            routed, begun = self._routed.pop(key, None), self._begun.pop(key, None)
            if isinstance(event, Prefilled):
                if routed is not None:
                    self._first.append(now - routed)
                _record_time(self._begun, key, now)
            elif begun is not None and event.tokens > 1:
                self._gaps.append((now - begun) / (event.tokens - 1))

    def drain_times(self) -> tuple[list[float], list[float]]:
        """Seconds to the first token, and between the tokens of each request that ended, since the last call."""
        found = self._first, self._gaps
        self._first, self._gaps = [], []
        return found

    async def _send_hellos(self) -> None:
        hello = True
        while True:
            with contextlib.suppress(RemoteError):
                await self._topic.publish(encode_message(RouterMessage(self._id, [], hello)))
            hello = False
            await asyncio.sleep(HEARTBEAT_SECONDS)


def _record_time(times: dict[tuple[int, str], float], key: tuple[int, str], now: float) -> None:
    times.setdefault(key, now)
    if len(times) > MOST_OPEN:
        del times[next(iter(times))]
