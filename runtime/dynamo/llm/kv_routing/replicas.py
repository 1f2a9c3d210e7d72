"""Routers of one component tell each other what they routed, so that each predicts the load of all of them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from dynamo.coordination.topics import Events
from dynamo.llm.kv.kv_topics import Listener, open_topic
from dynamo.llm.kv_routing.router import KvRouter
from dynamo.sdk.errors import RemoteError

HEARTBEAT_SECONDS = 1.0
SILENT_SECONDS = 5.0
"""A router that says nothing for so long is gone, and its requests with it."""


class Routed(msgspec.Struct, frozen=True, tag="routed"):
    """A request was sent to a worker; the hashes only where no worker tells them."""

    request: str
    worker: int
    prefill_tokens: int
    blocks: int
    hashes: list[int] = []


class Prefilled(msgspec.Struct, frozen=True, tag="prefilled"):
    """A request's first token came."""

    request: str


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """A request ended, after so many tokens."""

    request: str
    tokens: int = 0


RouterEvent: TypeAlias = Routed | Prefilled | Finished


class RouterMessage(msgspec.Struct, frozen=True):
    """What a router did since its last message; with `hello` it wants to hear what the others have open."""

    router: int
    events: list[RouterEvent]
    hello: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(RouterMessage).decode


def encode_message(message: RouterMessage) -> bytes:
    """A message as it travels."""
    return _encode(message)


def decode_message(body: bytes) -> RouterMessage:
    """A router's message. Raises ValueError when it is none."""
    return _decode(body)


class Replicas:
    """This router among those of its component. Requests of others are predicted under names of their own."""

    def __init__(
        self, events: Events, namespace: str, component: str, router: KvRouter, clock: Callable[[], float]
    ) -> None:
        self.id = secrets.randbits(48)
        self._topic = open_topic(events, "routers", namespace, component)
        self._router = router
        self._clock = clock
        self._open: dict[str, Routed] = {}
        self._others: dict[int, set[str]] = {}
        self._heard: dict[int, float] = {}
        self._fresh: list[RouterEvent] = []
        self._flush = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._listener: Listener | None = None

    async def start(self) -> None:
        """Begin to listen and to tell."""
        self._listener = Listener(self._topic, self._on_message)
        self._tasks.append(asyncio.ensure_future(self._publish_events()))

    async def close(self) -> None:
        """Stop; the others forget what was open when they hear nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listener is not None:
            await self._listener.close()

    @property
    def other_count(self) -> int:
        """How many other routers there are."""
        return len(self._others)

    def announce_request(
        self, request: str, worker: int, prefill_tokens: int, blocks: int, hashes: Sequence[int]
    ) -> None:
        """This router sent a request to a worker."""
        event = Routed(request, worker, prefill_tokens, blocks, list(hashes))
        self._open[request] = event
        self._queue_event(event)

    def announce_first_token(self, request: str) -> None:
        """Its first token came."""
        event = self._open.get(request)
        if event is not None and event.prefill_tokens:
            self._open[request] = Routed(request, event.worker, 0, event.blocks)
            self._queue_event(Prefilled(request))

    def announce_end(self, request: str, tokens: int = 0) -> None:
        """It ended, after so many tokens."""
        if self._open.pop(request, None) is not None:
            self._queue_event(Finished(request, tokens))

    def expire_routers(self) -> None:
        """Forget the routers that are silent."""
        before = self._clock() - SILENT_SECONDS
        for other in [other for other, heard in self._heard.items() if heard < before]:
            for name in self._others.pop(other, ()):
                self._router.prediction.remove_request(name)
            del self._heard[other]

    def _queue_event(self, event: RouterEvent) -> None:
        if self._heard:  # one that comes later is told what is open then
            self._fresh.append(event)
            self._flush.set()

    async def _publish_events(self) -> None:
        hello = True
        while True:
            events, self._fresh = self._fresh, []
            self._flush.clear()
            with contextlib.suppress(RemoteError):
                await self._topic.publish(_encode(RouterMessage(self.id, events, hello)))
            hello = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._flush.wait()
            await asyncio.sleep(0)  # what else this turn of the loop brings travels along

    def _on_message(self, body: bytes) -> None:
        try:
            message = _decode(body)
        except ValueError:
            return
        if message.router == self.id:
            return
        names = self._others.setdefault(message.router, set())
        if message.hello or message.router not in self._heard:
            self._fresh[:0] = self._open.values()
            self._flush.set()
        self._heard[message.router] = self._clock()
        for event in message.events:
            name = f"{message.router:x}/{event.request}"
            if isinstance(event, Routed):
                names.add(name)
                self._router.prediction.add_request(name, event.worker, event.prefill_tokens, event.blocks)
                if event.hashes:
                    self._router.approximate.routed(event.worker, event.hashes, self._clock())
            elif isinstance(event, Prefilled):
                self._router.prediction.end_prefill(name)
            else:
                names.discard(name)
                self._router.prediction.remove_request(name)
