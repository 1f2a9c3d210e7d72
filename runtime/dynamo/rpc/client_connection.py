"""The caller's end of a connection: sends requests, and gives each its answer."""

from __future__ import annotations

import asyncio

from dynamo.rpc import wire
from dynamo.rpc.connection import FrameConnection, Pipe
from dynamo.rpc.transport import WINDOW, Exchange
from dynamo.rpc.wire import Request
from dynamo.sdk.errors import RemoteError, Unavailable, from_code

PING_SECONDS = 2.0
SILENT_SECONDS = 10.0
_MASK = 0xFFFFFFFF


class FrameExchange(Exchange):
    """One request on a connection."""

    __slots__ = ("_connection", "_owed", "_stream")

    def __init__(self, connection: CallerConnection, stream: int) -> None:
        super().__init__()
        self._connection = connection
        self._stream = stream
        self._owed = 0

    def on_consumed(self, units: int) -> None:
        self._owed += units
        if self._owed >= WINDOW // 2 and not self.finished:
            self._connection.send_frame(self._stream, wire.CREDIT, self._owed.to_bytes(4, "big"))
            self._owed = 0

    def on_close(self) -> None:
        self._connection.cancel_request(self._stream)


class CallerConnection(FrameConnection):
    """The end that sends requests."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token
        self._streams: dict[int, FrameExchange] = {}
        self._next = 0
        self._watch: asyncio.TimerHandle | None = None
        self._pinged = False
        self.failure: RemoteError | None = None

    def attach_pipe(self, pipe: Pipe) -> None:
        super().attach_pipe(pipe)
        self.send_frame(0, wire.HELLO, wire.pack_message(wire.Hello(wire.VERSION, self._token)))
        self._watch = self._loop.call_later(PING_SECONDS, self._check_peer)

    def start_request(self, request: Request) -> FrameExchange:
        """Send a request. Raises RemoteError when the other side refused or is gone."""
        if self.failure is not None:
            raise self.failure
        self._next = (self._next + 1) & _MASK or 1
        while self._next in self._streams:
            self._next = (self._next + 1) & _MASK or 1
        exchange = self._streams[self._next] = FrameExchange(self, self._next)
        self.send_frame(self._next, wire.REQUEST, wire.pack_request(request))
        return exchange

    def cancel_request(self, stream: int) -> None:
        """Cancel a request."""
        if self._streams.pop(stream, None) is not None and self.failure is None:
            self.send_frame(stream, wire.CANCEL)

    @property
    def is_busy(self) -> bool:
        return bool(self._streams)

    @property
    def is_alone(self) -> bool:
        return len(self._streams) <= 1

    def on_frame(self, stream: int, kind: int, payload: bytes) -> None:
        exchange = self._streams.get(stream)
        if kind in (wire.ITEM, wire.ITEMS, wire.OPEN):
            if exchange is not None:
                exchange.put_frame(kind, payload)
        elif kind in (wire.VALUE, wire.END):
            if exchange is not None:
                del self._streams[stream]
                exchange.put_frame(kind, payload)
        elif kind == wire.ERROR:
            failure = wire.unpack_message(wire.Failure, payload)
            error = from_code(failure.code, failure.message, kind=failure.kind)
            if stream == 0:
                self._fail_requests(error)
                self.close()
            elif exchange is not None:
                del self._streams[stream]
                exchange.end_with_error(error)
        elif kind == wire.PONG:
            self._pinged = False

    def on_closed(self, reason: str) -> None:
        self._fail_requests(Unavailable(f"lost the connection: {reason}"))

    def _fail_requests(self, error: RemoteError) -> None:
        self.failure = self.failure or error
        if self._watch is not None:
            self._watch.cancel()
        streams = list(self._streams.values())
        self._streams.clear()
        for exchange in streams:
            exchange.end_with_error(error)

    def _check_peer(self) -> None:
        silent = self._loop.time() - self.heard
        if self._pinged and self._streams and silent > SILENT_SECONDS:
            self.abort(f"no sign of life for {silent:.0f} seconds")
            return
        if self._streams and silent > PING_SECONDS / 2:
            if not self._pinged:
                self.send_frame(0, wire.PING)
                self._pinged = True
        else:
            self._pinged = False
        self._watch = self._loop.call_later(PING_SECONDS, self._check_peer)
