"""Topics that lose, double and hold back messages, for tests of those who must bear it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

from dynamo.coordination.topics import KEEP, Event, MemoryEvents, MemoryTopic


class LossyTopic:
    """Publishes through to a topic, sometimes not, sometimes twice."""

    def __init__(self, inner: MemoryTopic, faults: LossyEvents) -> None:
        self._inner = inner
        self._faults = faults

    async def publish(self, value: Any, key: str = "") -> int:
        draw = self._faults.random.random()
        if draw < self._faults.lost:
            return 0
        if draw < self._faults.lost + self._faults.doubled:
            await self._inner.publish(value, key)
        return await self._inner.publish(value, key)

    def follow(self, after: int | None = 0) -> AsyncIterator[Event]:
        return self._inner.follow(after)

    async def forget(self, key: str) -> None:
        await self._inner.forget(key)


class LossyEvents:
    """Topics in memory; `lost` and `doubled` are shares of the messages, and can be changed at any time."""

    def __init__(self, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.lost = 0.0
        self.doubled = 0.0
        self._events = MemoryEvents()

    def topic(self, namespace: str, name: str, *, keep: int = KEEP) -> LossyTopic:
        return LossyTopic(self._events.topic(namespace, name, keep=keep), self)
