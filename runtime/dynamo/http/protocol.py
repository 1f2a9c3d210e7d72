"""HTTP/1.1 with bounds on what comes before a request: the size of its head, and how long it may take to arrive.

uvicorn bounds neither with httptools: a client could fill the memory with header lines, or hold connections for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dynamo.http.gathering import Gathering

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
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._got_head()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._awaited is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._got_head()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._awaited is not None:
            self._head += len(data)
            if self._head > LARGEST_HEAD:
                self._refuse(b"431 Request Header Fields Too Large", b"the request's head is larger than 65536 bytes")

    def _await_head(self) -> None:
        self._head = 0
        self._awaited = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _got_head(self) -> None:
        if self._awaited is not None:
            self._awaited.cancel()
            self._awaited = None

    def _too_slow(self) -> None:
        self._awaited = None
        if self._head:
            self._refuse(b"408 Request Timeout", b"the request's head did not come in 30 s")
        else:
            self.transport.close()

    def _refuse(self, status: bytes, message: bytes) -> None:
        self._got_head()
        transport: Any = self.transport
        if transport.is_closing():
            return
        transport.write(_REFUSAL % (status, len(message) + 45, message))
        transport.close()
