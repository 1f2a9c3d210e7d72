"""Topics of events: many publish, many follow, and a follower that comes later reads what was kept first.

    topic = runtime.events.topic("namespace", "kv_events", keep=100_000)
    number = await topic.publish({"stored": [...]}, key="worker-7")
    async for event in topic.follow():          # all that is kept, then what comes
        event.number, event.key, event.value
    await topic.forget("worker-7")              # its events are not replayed any more

Numbers grow by one; a step of more says that events were dropped or forgotten before they were read, and a number that
does not grow says that the log was lost and began anew. `keep=0` keeps nothing: such events have the number 0, cost no
answer of the broker, and whoever does not follow misses them. A follower outlives a restart of the broker and goes on
after the last event that it saw; a publisher waits for the broker as long as `PATIENCE_SECONDS`, then gets Unavailable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Protocol

import msgspec

from dynamo.messages import payload
from dynamo.sdk.errors import Internal

KEEP = 100_000
"""How many events a topic keeps when nothing else is asked for."""
PATIENCE_SECONDS = 10.0


class Event(msgspec.Struct, frozen=True):
    """One event: its number in the topic, who it is about, and what was published (bytes stay bytes)."""

    number: int
    key: str
    value: Any


class Topic(Protocol):
    """One log of events."""

    async def publish(self, value: Any, key: str = "") -> int:
        """Add an event; its number. Raises Unavailable, and BadRequest for one that is too large."""

    def follow(self, after: int | None = 0) -> AsyncIterator[Event]:
        """The events after that number, without end; None: only those that are published from now on."""

    async def forget(self, key: str) -> None:
        """Drop the kept events of that key. Raises Unavailable."""


class Events(Protocol):
    """Where topics are."""

    def topic(self, namespace: str, name: str, *, keep: int = KEEP) -> Topic:
        """The topic of that name; the first to use it decides how much it keeps."""


def decode_event(body: bytes) -> Any:
    """What was published. Raises Internal when it is not MessagePack."""
    try:
        return payload.decode(body)
    except (ValueError, RecursionError) as error:
        raise Internal(f"an event is not MessagePack: {error}") from error


class MemoryTopic:
    """A log inside one process."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._kept: deque[Event] = deque(maxlen=keep)
        self._number = 0
        self._followers: set[asyncio.Queue[Event]] = set()

    async def publish(self, value: Any, key: str = "") -> int:
        self._number += 1
        event = Event(self._number if self._keep else 0, key, payload.decode(payload.encode(value)))
        self._kept.append(event)
        for follower in self._followers:
            follower.put_nowait(event)
        return event.number

    async def follow(self, after: int | None = 0) -> AsyncIterator[Event]:
        news: asyncio.Queue[Event] = asyncio.Queue()
        if after is not None:
            for event in self._kept:
                if event.number > after:
                    news.put_nowait(event)
        self._followers.add(news)
        try:
            while True:
                yield await news.get()
        finally:
            self._followers.discard(news)

    async def forget(self, key: str) -> None:
        self._kept = deque((event for event in self._kept if event.key != key), maxlen=self._keep)


class MemoryEvents:
    """Topics inside one process."""

    def __init__(self) -> None:
        self._topics: dict[tuple[str, str], MemoryTopic] = {}

    def topic(self, namespace: str, name: str, *, keep: int = KEEP) -> MemoryTopic:
        if (namespace, name) not in self._topics:
            self._topics[namespace, name] = MemoryTopic(keep)
        return self._topics[namespace, name]
