"""The worker's end of a connection: runs requests, and sends what they answer."""

from __future__ import annotations

import asyncio
import hmac

from dynamo.rpc import wire
from dynamo.rpc.connection import FLUSH, FrameConnection, Pipe
from dynamo.rpc.transport import WINDOW, Handler, count_units
from dynamo.rpc.wire import Request, WireError

HELLO_SECONDS = 5.0
REFUSED_SECONDS = 1.0
HELLO_BYTES = 4096


class FrameAnswer:
    """Where a handler's answer goes: frames of one stream. Items of one turn of the loop share a frame.

    A stream has a window of its own, so a slow reader holds up nobody else.
    """

    __slots__ = ("_connection", "_items", "_items_size", "_room", "_stream", "_units", "_waiter", "started", "task")

    def __init__(self, connection: WorkerConnection, stream: int) -> None:
        self._connection = connection
        self._stream = stream
        self._room = WINDOW
        self._items: list[bytes] = []
        self._items_size = 0
        self._units = 0
        self._waiter: asyncio.Future[None] | None = None
        self.task: asyncio.Future[None] | None = None
        self.started = False

    def open_stream(self) -> None:
        self._connection.send_frame(self._stream, wire.OPEN)

    def send_item(self, payload: bytes) -> bool:
        if not self._items:
            self._connection.schedule_batch(self)
        self._items.append(payload)
        units = count_units(payload)
        self._units += units
        self._room -= units
        self._items_size += len(payload)
        if self._items_size > FLUSH:
            self.send_items()
        return self._room > 0 and not self._connection.paused

    def send_items(self) -> None:
        """Send the items that wait, in one frame."""
        items = self._items
        if len(items) == 1:
            self._connection.send_frame(self._stream, wire.ITEM, items[0])
        elif items:
            self._connection.send_frame(self._stream, wire.ITEMS, wire.pack_items(items, self._units))
        else:
            return
        items.clear()
        self._items_size = self._units = 0

    async def wait_ready(self) -> None:
        while self._room <= 0:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        await self._connection.wait_writable()

    def send_value(self, payload: bytes) -> None:
        self._connection.send_frame(self._stream, wire.VALUE, payload)

    def end_stream(self) -> None:
        self.send_items()
        self._connection.send_frame(self._stream, wire.END)

    def send_error(self, code: str, message: str, kind: str) -> None:
        self.send_items()
        self._connection.send_frame(self._stream, wire.ERROR, wire.pack_message(wire.Failure(code, message, kind)))

    def add_credit(self, units: int) -> None:
        """The reader has room for more."""
        self._room = min(WINDOW, self._room + units)
        if self._room > 0 and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class FrameServing:
    """A handler behind any number of connections."""

    def __init__(self, handler: Handler, token: str) -> None:
        self.handler = handler
        self.token = token
        self.address = ""
        self.draining = False
        self.connections: set[WorkerConnection] = set()
        self.tasks: set[asyncio.Future[None]] = set()

    async def drain(self, timeout: float) -> None:
        self.draining = True
        tasks = list(self.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            self.tasks.clear()
        await self.stop_listening()
        connections = list(self.connections)
        for connection in connections:
            connection.close()
        await asyncio.gather(*(connection.wait_closed() for connection in connections))

    async def stop_listening(self) -> None:
        """Take no more connections."""


class WorkerConnection(FrameConnection):
    """The end that runs requests. Until the hello is right nothing else is read, and little memory is lent."""

    def __init__(self, serving: FrameServing) -> None:
        super().__init__()
        self._serving = serving
        self._decoder.largest = HELLO_BYTES
        self._answers: dict[int, FrameAnswer] = {}
        self._known = False
        self._refused = False
        self._patience = self._loop.call_later(HELLO_SECONDS, self._on_hello_timeout)

    def attach_pipe(self, pipe: Pipe) -> None:
        super().attach_pipe(pipe)
        self._serving.connections.add(self)

    @property
    def is_busy(self) -> bool:
        return bool(self._answers)

    @property
    def is_alone(self) -> bool:
        return len(self._answers) <= 1

    def on_frame(self, stream: int, kind: int, payload: bytes) -> None:
        if not self._known:
            if not self._refused:
                self._check_hello(kind, payload)
        elif kind == wire.REQUEST:
            self._start_request(stream, payload)
        elif kind == wire.CANCEL:
            answer = self._answers.pop(stream, None)
            if answer is not None:
                self._cancel_answer(answer)
        elif kind == wire.CREDIT:
            if stream in self._answers and len(payload) == 4:
                self._answers[stream].add_credit(int.from_bytes(payload, "big"))
        elif kind == wire.PING:
            self.send_frame(0, wire.PONG)

    def _check_hello(self, kind: int, payload: bytes) -> None:
        if kind != wire.HELLO:
            raise WireError("the first frame is not a hello")
        hello = wire.unpack_message(wire.Hello, payload)
        if hello.version != wire.VERSION:
            self._refuse_caller("bad_request", f"this worker speaks version {wire.VERSION} of the protocol")
        elif not hmac.compare_digest(hello.token.encode(), self._serving.token.encode()):
            self._refuse_caller("unauthorized", "the token is not this graph's")
        else:
            self._known = True
            self._decoder.largest = wire.LARGEST
            self._patience.cancel()

    def _refuse_caller(self, code: str, message: str) -> None:
        self._refused = True
        self.send_frame(0, wire.ERROR, wire.pack_message(wire.Failure(code, message)))
        # Closing while more of theirs is on its way would reset the connection, and the reason would not arrive.
        self._patience.cancel()
        self._patience = self._loop.call_later(REFUSED_SECONDS, self.close)

    def _on_hello_timeout(self) -> None:
        self.abort("no hello")

    def _start_request(self, stream: int, payload: bytes) -> None:
        if stream in self._answers:
            raise WireError(f"stream {stream} is already open")
        request = wire.unpack_message(Request, payload)
        answer = FrameAnswer(self, stream)
        if self._serving.draining:
            answer.send_error("unavailable", "the worker is shutting down", "")
            return
        self._answers[stream] = answer
        task = answer.task = self._loop.create_task(self._run_request(stream, request, answer))
        self._serving.tasks.add(task)

    async def _run_request(self, stream: int, request: Request, answer: FrameAnswer) -> None:
        answer.started = True
        try:
            await self._serving.handler(request, answer)
        finally:
            if answer.task is not None:
                self._serving.tasks.discard(answer.task)
            if self._answers.get(stream) is answer:
                del self._answers[stream]

    def on_closed(self, reason: str) -> None:
        self._patience.cancel()
        self._serving.connections.discard(self)
        answers = list(self._answers.values())
        self._answers.clear()
        for answer in answers:
            self._cancel_answer(answer)

    def _cancel_answer(self, answer: FrameAnswer) -> None:
        if answer.task is not None:
            answer.task.cancel()
            if not answer.started:  # nothing of it will run, not even its end
                self._serving.tasks.discard(answer.task)
