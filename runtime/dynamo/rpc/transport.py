"""The one Protocol of the runtime: how a request reaches a handler and how its answer comes back.

A transport moves bytes. What the bytes mean is for the client and the server.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from dynamo.rpc.deadlines import get_deadlines
from dynamo.rpc.wire import END, ITEM, ITEMS, OPEN, VALUE, Request, units_of
from dynamo.sdk.errors import Deadline, RemoteError

WINDOW = 1024
"""What a stream may have on its way to a reader, in units of one item or 4 KiB of it."""


def count_units(payload: bytes) -> int:
    """What an item takes of its stream's window."""
    return 1 + (len(payload) >> 12)


class Answer(Protocol):
    """Where a handler puts its answer: `value`, or `open`, items and `end`, or `fail`. After one of those, nothing."""

    def open_stream(self) -> None:
        """Say that the answer is a stream, before its first item."""

    def send_item(self, payload: bytes) -> bool:
        """Send one item. False: wait for `ready` before the next."""

    async def wait_ready(self) -> None:
        """Return when the reader has room for more."""

    def send_value(self, payload: bytes) -> None:
        """Send the whole answer."""

    def end_stream(self) -> None:
        """End the stream."""

    def send_error(self, code: str, message: str, kind: str) -> None:
        """End the answer with an error."""


Handler: TypeAlias = Callable[[Request, Answer], Awaitable[None]]
"""Runs a request in a task of its own; the task is cancelled when the caller cancels or is lost."""


class Serving(Protocol):
    """A handler that can be reached at `address`."""

    @property
    def address(self) -> str:
        """What a caller gives to `request`."""

    async def drain(self, timeout: float) -> None:
        """Refuse new requests, let the running ones end within the time, cancel the rest, close."""


class Exchange:
    """The caller's end of one request: its answer as (kind, payload), in order.

    Transports put frames in with `put` and `lost`; `on_consumed` and `on_close` are how they hear of the reader.
    """

    __slots__ = ("_deadline", "_error", "_frames", "_seconds", "_waiter", "finished")

    def __init__(self) -> None:
        self._frames: deque[tuple[int, bytes]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: RemoteError | None = None
        self.finished = False
        self._deadline = 0
        self._seconds = 0.0

    def put_frame(self, kind: int, payload: bytes) -> None:
        """A frame arrived."""
        if not self.finished:
            if kind in (END, VALUE):
                self._mark_finished()
            self._frames.append((kind, payload))
            self._wake_reader()

    def end_with_error(self, error: RemoteError) -> None:
        """No more frames will arrive; those that did are still read first."""
        if not self.finished:
            self._mark_finished()
            self._error = error
            self._wake_reader()

    async def receive_frame(self) -> tuple[int, bytes]:
        """The next frame: OPEN, ITEM, ITEMS, END or VALUE. Raises RemoteError when the answer failed."""
        while not self._frames:
            if self._error is not None:
                raise self._error
            if self.finished:
                return END, b""
            waiter = self._waiter = asyncio.get_running_loop().create_future()
            try:
                await waiter
            finally:
                self._waiter = None
        frame = self._frames.popleft()
        if frame[0] == ITEMS:
            self.on_consumed(units_of(frame[1]))
        elif frame[0] == ITEM:
            self.on_consumed(count_units(frame[1]))
        return frame

    def close(self) -> None:
        """Stop reading; the handler is cancelled when it still runs."""
        if not self.finished:
            self._mark_finished()
            self.on_close()
        self._frames.clear()

    def expire_at(self, at: float, seconds: float) -> None:
        """Cancel the request and fail with Deadline when it did not end by that time of the loop, `seconds` in all."""
        if not self.finished:
            self._seconds = seconds
            self._deadline = get_deadlines(asyncio.get_running_loop()).set_deadline(at, self)

    def on_expired(self) -> None:
        """The time is up."""
        if not self.finished:
            self.on_close()
            self.end_with_error(Deadline(f"no answer within {self._seconds:.3g} s"))

    def _mark_finished(self) -> None:
        self.finished = True
        if self._deadline:
            get_deadlines(asyncio.get_running_loop()).lift_deadline(self._deadline, self)
            self._deadline = 0

    def on_consumed(self, units: int) -> None:
        """Give the sender room; for transports."""

    def on_close(self) -> None:
        """Cancel the request; for transports."""

    def _wake_reader(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Transport(Protocol):
    """Moves requests to handlers and answers back."""

    async def serve(self, handler: Handler) -> Serving:
        """Make the handler reachable. Raises OSError when it cannot be."""

    def begin(self, address: str, request: Request) -> Exchange | None:
        """Send a request where that needs no waiting; None: use `request`."""

    async def request(self, address: str, request: Request) -> Exchange:
        """Send a request. Raises Unavailable when nobody can be reached at the address."""

    async def close(self) -> None:
        """Let go of all connections; open exchanges fail with Unavailable."""


__all__ = [
    "END",
    "ITEM",
    "ITEMS",
    "OPEN",
    "VALUE",
    "WINDOW",
    "Answer",
    "Exchange",
    "Handler",
    "Serving",
    "Transport",
    "count_units",
]
