"""vLLM's KV events from its socket: what it stored and removed, in its own words."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from dynamo.llm.kv.engine_events import AllCleared, EngineEvent, decode_batch

logger = logging.getLogger("dynamo.vllm")


class EngineEvents:
    """Listens on a loopback port of its own. After a lost message everything counts as gone: what comes later is right,
    and routers only think too little of this worker.
    """

    def __init__(self, zmq: Any, on_events: Callable[[list[EngineEvent]], Any]) -> None:
        self._on_events = on_events
        self._socket = zmq.Context.instance().socket(_SUBSCRIBE)
        self._socket.setsockopt(_LINGER, 0)
        self._socket.subscribe(b"")
        self.address = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        self._expected = -1
        self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """Stop listening."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._socket.close()

    async def _run(self) -> None:
        while True:
            frames = await self._socket.recv_multipart()
            self.take(frames)

    def take(self, frames: list[bytes]) -> None:
        """One message: topic, number, events. Source: vLLM's ZmqEventPublisher."""
        try:
            number, events = int.from_bytes(frames[1], "big"), decode_batch(frames[2])
        except (ValueError, IndexError) as error:
            logger.warning("a message of vLLM is not understood: %s", error)
            return
        if 0 <= self._expected != number:
            logger.warning("messages of vLLM were lost: %s came where %s was expected", number, self._expected)
            events.insert(0, AllCleared())
        self._expected = number + 1
        self._on_events(events)


_SUBSCRIBE, _LINGER = 2, 17
"""ZeroMQ's numbers of a socket type and an option: its package comes with vLLM and is not loaded before."""
