"""A connection that speaks in frames: what both ends share, whatever carries the bytes.

Frames written in one turn of the loop leave in one write: that is what makes many streams on one connection cheap.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Protocol, cast

from dynamo.rpc import wire
from dynamo.rpc.wire import WireError

FLUSH = 64 * 1024
SMALL = 4096
WHOLE = (wire.REQUEST, wire.VALUE)
FRAMES = 16
"""After so many frames what is there leaves at once, so that the other side begins while this one goes on."""
CLOSE_SECONDS = 1.0


class Pipe(Protocol):
    """What carries the bytes of a connection; asyncio's transports are such."""

    def write(self, data: bytes) -> None:
        """Send some bytes after those before."""

    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""

    def close(self) -> None:
        """Send what was written, then end."""

    def abort(self) -> None:
        """End at once."""


class Batch(Protocol):
    """A stream that has items which no frame holds yet."""

    def send_items(self) -> None:
        """Send them."""


class FrameConnection(asyncio.Protocol):
    """Frames in, coalesced frames out. `received` and `closed` are for the two ends to fill in."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._decoder = wire.Decoder()
        self._out: list[bytes] = []
        self._out_size = 0
        self._batches: list[Batch] = []
        self._flushing = False
        self._pipe: Pipe | None = None
        self._writable: asyncio.Event = asyncio.Event()
        self._writable.set()
        self._gone = asyncio.Event()
        self.heard = self._loop.time()
        self.paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.attach_pipe(cast(asyncio.Transport, transport))  # uvloop's are not instances of it
        # What we write is whole already: it is for the kernel now, and what that does not take holds us up.
        cast(asyncio.Transport, transport).set_write_buffer_limits(high=0)
        channel = transport.get_extra_info("socket")
        if channel is not None:
            channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def attach_pipe(self, pipe: Pipe) -> None:
        """The bytes go there from now on."""
        self._pipe = pipe

    def data_received(self, data: bytes) -> None:
        self.heard = self._loop.time()
        try:
            for stream, kind, payload in self._decoder.feed(data):
                self.on_frame(stream, kind, payload)
        except WireError as error:
            self.abort(str(error))

    def send_frame(self, stream: int, kind: int, payload: bytes = b"") -> None:
        """Write one frame in this turn of the loop."""
        size = len(payload)
        header = wire.HEADER.pack(size, stream, kind)
        if not self._flushing:
            if kind in WHOLE and size < FLUSH and self.is_alone and self._pipe is not None:
                if not self._pipe.is_closing():
                    self._pipe.write(header + payload)  # nothing else comes in this turn
                return
            self._flushing = True
            self._loop.call_soon(self._flush_batches)
        if size < SMALL:
            self._out.append(header + payload)
        elif size < FLUSH:
            self._out += (header, payload)
        else:
            self._out.append(header)
            self._write_frames()
            if self._pipe is not None and not self._pipe.is_closing():
                self._pipe.write(payload)  # by itself: joining it to others would copy it
            return
        self._out_size += size
        if self._out_size > FLUSH or len(self._out) >= FRAMES:
            self._write_frames()

    def schedule_batch(self, batch: Batch) -> None:
        """Ask the batch to send its items at the end of this turn of the loop."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush_batches)
        self._batches.append(batch)

    def _flush_batches(self) -> None:
        for batch in self._batches:
            batch.send_items()
        self._batches.clear()
        self._flushing = False
        self._write_frames()

    def _write_frames(self) -> None:
        if self._out:
            data = b"".join(self._out)
            self._out.clear()
            self._out_size = 0
            if self._pipe is not None and not self._pipe.is_closing():
                self._pipe.write(data)

    async def wait_writable(self) -> None:
        """Return when the connection takes more."""
        await self._writable.wait()

    def pause_writing(self) -> None:
        self.paused = True
        self._writable.clear()

    def resume_writing(self) -> None:
        self.paused = False
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        self.paused = False
        self._writable.set()
        self.on_closed(str(exc) if exc else "connection closed")

    def close(self) -> None:
        """Write what is waiting and close."""
        self._flush_batches()
        if self._pipe is not None:
            self._pipe.close()

    async def wait_closed(self) -> None:
        """Return when the pipe is closed, or was cut because it did not close in time."""
        if self._pipe is None:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._gone.wait()
        except TimeoutError:
            self._pipe.abort()
            await asyncio.sleep(0)

    @property
    def is_busy(self) -> bool:
        """Whether a request is open."""
        raise NotImplementedError

    @property
    def is_alone(self) -> bool:
        """Whether no more than one request is open."""
        raise NotImplementedError

    def abort(self, reason: str) -> None:
        """Close at once."""
        self.on_closed(reason)
        if self._pipe is not None:
            self._pipe.abort()

    def on_frame(self, stream: int, kind: int, payload: bytes) -> None:
        """A frame arrived."""
        raise NotImplementedError

    def on_closed(self, reason: str) -> None:
        """Nothing arrives any more; may be called twice."""
        raise NotImplementedError
