"""Writes of one turn of the loop in one: a head, its items and the end of an answer need one call of the system."""

from __future__ import annotations

import asyncio
from typing import Any

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
            self._loop.call_soon(self._send)
        self._held.append(data)
        self._size += len(data)
        if self._size >= MOST:
            self._send()

    def close(self) -> None:
        """Send what is held, then close when all is sent."""
        self._send()
        self._transport.close()

    def abort(self) -> None:
        """Close now; what is held is lost."""
        self._held.clear()
        self._transport.abort()

    def _send(self) -> None:
        if not self._held:
            return
        data = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._held.clear()
        self._size = 0
        if not self._transport.is_closing():
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
