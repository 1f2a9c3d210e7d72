"""HTTP/1.1 with bounds on what comes before a request: the size of its head, and how long it may take to arrive.

uvicorn bounds neither with httptools: a client could fill the memory with header lines, or hold connections for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD = 64 * 1024
HEAD_SECONDS = 30.0
_REFUSAL = (
    b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    b'{"error":{"code":"bad_request","message":"%b"}}'
)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which ends a connection whose request line and headers are too large or too slow."""

    _head = 0
    _awaited: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, Gathering(transport, self.loop)))
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._awaited is None:
            self._start_head_timer()

    def on_headers_complete(self) -> None:
        self._stop_head_timer()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._awaited is not None:
            self._head += len(data)
            if self._head > LARGEST_HEAD:
                self._refuse_request(
                    b"431 Request Header Fields Too Large", b"the request's head is larger than 65536 bytes"
                )

    def _start_head_timer(self) -> None:
        self._head = 0
        self._awaited = self.loop.call_later(HEAD_SECONDS, self._on_head_timeout)

    def _stop_head_timer(self) -> None:
        if self._awaited is not None:
            self._awaited.cancel()
            self._awaited = None

    def _on_head_timeout(self) -> None:
        self._awaited = None
        if self._head:
            self._refuse_request(b"408 Request Timeout", b"the request's head did not come in 30 s")
        else:
            self.transport.close()

    def _refuse_request(self, status: bytes, message: bytes) -> None:
        self._stop_head_timer()
        transport: Any = self.transport
        if transport.is_closing():
            return
        transport.write(_REFUSAL % (status, len(message) + 45, message))
        transport.close()


#: What is held back at most; more goes at once, so that the transport tells when the client reads too slowly.
MOST = 64 * 1024


class Gathering:
    """A transport whose writes wait for the end of the loop's turn. Everything else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Send with the next of this turn, or now what is much."""
        if not self._held:
            self._loop.call_soon(self._send_held)
        self._held.append(data)
        self._size += len(data)
        if self._size >= MOST:
            self._send_held()

    def close(self) -> None:
        """Send what is held, then close when all is sent."""
        self._send_held()
        self._transport.close()

    def abort(self) -> None:
        """Close now; what is held is lost."""
        self._held.clear()
        self._transport.abort()

    def _send_held(self) -> None:
        if not self._held:
            return
        data = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._held.clear()
        self._size = 0
        if not self._transport.is_closing():
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
