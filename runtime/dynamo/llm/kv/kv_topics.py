"""Live topics of routing, and a task that hears one of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from dynamo.coordination.topics import Events, Topic
from dynamo.sdk.errors import RemoteError

AGAIN_SECONDS = 0.5


def open_topic(events: Events, kind: str, namespace: str, component: str) -> Topic:
    """Where messages of a kind about a component travel: `kv_events`, `kv_resync`, `load`, `routers`, `prefilled`.

    Nothing is kept there: who misses a message asks for what he needs.
    """
    return events.topic(namespace, f"{component}.{kind}", keep=0)


class Listener:
    """Calls `on_message` with what arrives on a topic, in order, until it is closed."""

    def __init__(self, heard: Topic, on_message: Callable[[bytes], None]) -> None:
        self._topic = heard
        self._on_message = on_message
        self._task = asyncio.ensure_future(self._read_topic())

    async def _read_topic(self) -> None:
        while True:
            with contextlib.suppress(RemoteError):
                async for event in self._topic.follow():
                    if isinstance(event.value, bytes):
                        self._on_message(event.value)
            await asyncio.sleep(AGAIN_SECONDS)

    async def close(self) -> None:
        """Stop listening."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
