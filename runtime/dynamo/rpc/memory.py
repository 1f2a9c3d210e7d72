"""Transport inside one process: for tests, and the plainest statement of what every transport does."""

from __future__ import annotations

import asyncio
import itertools

from dynamo.rpc.transport import END, ITEM, OPEN, VALUE, WINDOW, Exchange, Handler, count_units
from dynamo.rpc.wire import Request
from dynamo.sdk.errors import Unavailable, from_code

_numbers = itertools.count(1)


class MemoryExchange(Exchange):
    """Both ends of one request: the caller's exchange, and the answer that the handler writes to."""

    __slots__ = ("_room", "_sender", "task")

    def __init__(self) -> None:
        super().__init__()
        self._room = WINDOW
        self._sender: asyncio.Future[None] | None = None
        self.task: asyncio.Task[None] | None = None

    def open_stream(self) -> None:
        self.put_frame(OPEN, b"")

    def send_item(self, payload: bytes) -> bool:
        self._room -= count_units(payload)
        self.put_frame(ITEM, payload)
        return self._room > 0

    async def wait_ready(self) -> None:
        while self._room <= 0 and not self.finished:
            self._sender = asyncio.get_running_loop().create_future()
            await self._sender

    def send_value(self, payload: bytes) -> None:
        self.put_frame(VALUE, payload)

    def end_stream(self) -> None:
        self.put_frame(END, b"")

    def send_error(self, code: str, message: str, kind: str) -> None:
        self.end_with_error(from_code(code, message, kind=kind))

    def on_consumed(self, units: int) -> None:
        self._room += units
        if self._room > 0 and self._sender is not None and not self._sender.done():
            self._sender.set_result(None)

    def on_close(self) -> None:
        if self.task is not None:
            self.task.cancel()


class MemoryServing:
    """A handler in the same process."""

    def __init__(self, transport: MemoryTransport, handler: Handler) -> None:
        self.address = f"memory://{next(_numbers)}"
        self._transport = transport
        self._handler = handler
        self._open: set[MemoryExchange] = set()

    def accept_request(self, request: Request) -> MemoryExchange:
        """Start the handler on a request."""
        exchange = MemoryExchange()
        exchange.task = asyncio.ensure_future(self._run_handler(request, exchange))
        self._open.add(exchange)
        exchange.task.add_done_callback(lambda _: self._on_ended(exchange))
        return exchange

    async def _run_handler(self, request: Request, exchange: MemoryExchange) -> None:
        await self._handler(request, exchange)

    def _on_ended(self, exchange: MemoryExchange) -> None:
        self._open.discard(exchange)
        exchange.end_with_error(Unavailable("the handler ended without an answer"))

    async def drain(self, timeout: float) -> None:
        self._transport.forget_address(self.address)
        tasks = [exchange.task for exchange in self._open if exchange.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


class MemoryTransport:
    """All its servings and callers share this object."""

    def __init__(self) -> None:
        self._servings: dict[str, MemoryServing] = {}
        self._closed = False

    async def serve(self, handler: Handler) -> MemoryServing:
        serving = MemoryServing(self, handler)
        self._servings[serving.address] = serving
        return serving

    def begin(self, address: str, request: Request) -> Exchange | None:
        serving = self._servings.get(address)
        return serving.accept_request(request) if serving else None

    async def request(self, address: str, request: Request) -> Exchange:
        serving = self._servings.get(address)
        if serving is None:
            raise Unavailable(f"nobody serves at `{address}`")
        return serving.accept_request(request)

    def forget_address(self, address: str) -> None:
        """No new requests for that address."""
        self._servings.pop(address, None)

    async def close(self) -> None:
        for serving in list(self._servings.values()):
            await serving.drain(0)
