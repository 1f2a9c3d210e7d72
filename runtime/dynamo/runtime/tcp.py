"""Transport on direct TCP: one connection for each pair of processes, all requests multiplexed on it.

Frames written in one turn of the loop leave in one write: that is what makes many streams on one connection cheap.
A stream has a window of its own, so a slow reader holds up nobody else.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
from typing import cast

from dynamo.runtime import wire
from dynamo.runtime.transport import WINDOW, Exchange, Handler, cost
from dynamo.runtime.wire import Request, WireError
from dynamo.sdk.errors import RemoteError, Unavailable, from_code

FLUSH = 64 * 1024
SMALL = 4096
HELLO_SECONDS = 5.0
REFUSED_SECONDS = 1.0
HELLO_BYTES = 4096
PING_SECONDS = 5.0
SILENT_SECONDS = 15.0
CONNECT_SECONDS = 3.0
_MASK = 0xFFFFFFFF


class FrameConnection(asyncio.Protocol):
    """Frames in, coalesced frames out. `received` and `closed` are for the two ends to fill in."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._decoder = wire.Decoder()
        self._out: list[bytes] = []
        self._out_size = 0
        self._transport: asyncio.Transport | None = None
        self._writable: asyncio.Event = asyncio.Event()
        self._writable.set()
        self.heard = self._loop.time()
        self.paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not instances of it
        channel = transport.get_extra_info("socket")
        if channel is not None:
            channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self.heard = self._loop.time()
        try:
            for stream, kind, payload in self._decoder.feed(data):
                self.received(stream, kind, payload)
        except WireError as error:
            self.abort(str(error))

    def send(self, stream: int, kind: int, payload: bytes = b"") -> None:
        """Write one frame in this turn of the loop."""
        if not self._out:
            self._loop.call_soon(self._flush)
        header = wire.HEADER.pack(len(payload), stream, kind)
        if len(payload) < SMALL:
            self._out.append(header + payload)
        else:
            self._out += (header, payload)
        self._out_size += len(payload)
        if self._out_size > FLUSH:
            self._flush()

    def _flush(self) -> None:
        if self._out:
            data = b"".join(self._out)
            self._out.clear()
            self._out_size = 0
            if self._transport is not None and not self._transport.is_closing():
                self._transport.write(data)

    async def writable(self) -> None:
        """Return when the connection takes more."""
        await self._writable.wait()

    def pause_writing(self) -> None:
        self.paused = True
        self._writable.clear()

    def resume_writing(self) -> None:
        self.paused = False
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.paused = False
        self._writable.set()
        self.closed(str(exc) if exc else "connection closed")

    def close(self) -> None:
        """Write what is waiting and close."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self, reason: str) -> None:
        """Close at once."""
        self.closed(reason)
        if self._transport is not None:
            self._transport.abort()

    def received(self, stream: int, kind: int, payload: bytes) -> None:
        """A frame arrived."""
        raise NotImplementedError

    def closed(self, reason: str) -> None:
        """Nothing arrives any more; may be called twice."""
        raise NotImplementedError


class TcpExchange(Exchange):
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
            self._connection.send(self._stream, wire.CREDIT, self._owed.to_bytes(4, "big"))
            self._owed = 0

    def on_close(self) -> None:
        self._connection.forget(self._stream)


class CallerConnection(FrameConnection):
    """The end that sends requests."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token
        self._streams: dict[int, TcpExchange] = {}
        self._next = 0
        self._watch: asyncio.TimerHandle | None = None
        self._pinged = False
        self.failure: RemoteError | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.send(0, wire.HELLO, wire.pack(wire.Hello(wire.VERSION, self._token)))
        self._watch = self._loop.call_later(PING_SECONDS, self._look)

    def start(self, request: Request) -> TcpExchange:
        """Send a request. Raises RemoteError when the other side refused or is gone."""
        if self.failure is not None:
            raise self.failure
        self._next = (self._next + 1) & _MASK or 1
        while self._next in self._streams:
            self._next = (self._next + 1) & _MASK or 1
        exchange = self._streams[self._next] = TcpExchange(self, self._next)
        self.send(self._next, wire.REQUEST, wire.pack(request))
        return exchange

    def forget(self, stream: int) -> None:
        """Cancel a request."""
        if self._streams.pop(stream, None) is not None and self.failure is None:
            self.send(stream, wire.CANCEL)

    def received(self, stream: int, kind: int, payload: bytes) -> None:
        exchange = self._streams.get(stream)
        if kind == wire.ITEM or kind == wire.OPEN:
            if exchange is not None:
                exchange.put(kind, payload)
        elif kind == wire.VALUE or kind == wire.END:
            if exchange is not None:
                del self._streams[stream]
                exchange.put(kind, payload)
        elif kind == wire.ERROR:
            failure = wire.unpack(wire.Failure, payload)
            error = from_code(failure.code, failure.message, kind=failure.kind)
            if stream == 0:
                self._fail(error)
                self.close()
            elif exchange is not None:
                del self._streams[stream]
                exchange.lost(error)
        elif kind == wire.PONG:
            self._pinged = False

    def closed(self, reason: str) -> None:
        self._fail(Unavailable(f"lost the connection: {reason}"))

    def _fail(self, error: RemoteError) -> None:
        self.failure = self.failure or error
        if self._watch is not None:
            self._watch.cancel()
        streams = list(self._streams.values())
        self._streams.clear()
        for exchange in streams:
            exchange.lost(error)

    def _look(self) -> None:
        silent = self._loop.time() - self.heard
        if self._pinged and self._streams and silent > SILENT_SECONDS:
            self.abort(f"no sign of life for {silent:.0f} seconds")
            return
        if self._streams and silent > PING_SECONDS / 2:
            if not self._pinged:
                self.send(0, wire.PING)
                self._pinged = True
        else:
            self._pinged = False
        self._watch = self._loop.call_later(PING_SECONDS, self._look)


class TcpAnswer:
    """Where a handler's answer goes: frames of one stream."""

    __slots__ = ("_connection", "_room", "_stream", "_waiter", "task")

    def __init__(self, connection: WorkerConnection, stream: int) -> None:
        self._connection = connection
        self._stream = stream
        self._room = WINDOW
        self._waiter: asyncio.Future[None] | None = None
        self.task: asyncio.Future[None] | None = None

    def open(self) -> None:
        self._connection.send(self._stream, wire.OPEN)

    def item(self, payload: bytes) -> bool:
        self._room -= cost(payload)
        self._connection.send(self._stream, wire.ITEM, payload)
        return self._room > 0 and not self._connection.paused

    async def ready(self) -> None:
        while self._room <= 0:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        await self._connection.writable()

    def value(self, payload: bytes) -> None:
        self._connection.send(self._stream, wire.VALUE, payload)

    def end(self) -> None:
        self._connection.send(self._stream, wire.END)

    def fail(self, code: str, message: str, kind: str) -> None:
        self._connection.send(self._stream, wire.ERROR, wire.pack(wire.Failure(code, message, kind)))

    def credit(self, units: int) -> None:
        """The reader has room for more."""
        self._room = min(WINDOW, self._room + units)
        if self._room > 0 and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class WorkerConnection(FrameConnection):
    """The end that runs requests. Until the hello is right nothing else is read, and little memory is lent."""

    def __init__(self, serving: TcpServing) -> None:
        super().__init__()
        self._serving = serving
        self._decoder.largest = HELLO_BYTES
        self._answers: dict[int, TcpAnswer] = {}
        self._known = False
        self._refused = False
        self._patience = self._loop.call_later(HELLO_SECONDS, self._hurry)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._serving.connections.add(self)

    def received(self, stream: int, kind: int, payload: bytes) -> None:
        if not self._known:
            if not self._refused:
                self._greet(kind, payload)
        elif kind == wire.REQUEST:
            self._begin(stream, payload)
        elif kind == wire.CANCEL:
            answer = self._answers.pop(stream, None)
            if answer is not None and answer.task is not None:
                answer.task.cancel()
        elif kind == wire.CREDIT:
            if stream in self._answers and len(payload) == 4:
                self._answers[stream].credit(int.from_bytes(payload, "big"))
        elif kind == wire.PING:
            self.send(0, wire.PONG)

    def _greet(self, kind: int, payload: bytes) -> None:
        if kind != wire.HELLO:
            raise WireError("the first frame is not a hello")
        hello = wire.unpack(wire.Hello, payload)
        if hello.version != wire.VERSION:
            self._refuse("bad_request", f"this worker speaks version {wire.VERSION} of the protocol")
        elif not hmac.compare_digest(hello.token.encode(), self._serving.token.encode()):
            self._refuse("unauthorized", "the token is not this graph's")
        else:
            self._known = True
            self._decoder.largest = wire.LARGEST
            self._patience.cancel()

    def _refuse(self, code: str, message: str) -> None:
        self._refused = True
        self.send(0, wire.ERROR, wire.pack(wire.Failure(code, message)))
        # Closing while more of theirs is on its way would reset the connection, and the reason would not arrive.
        self._patience.cancel()
        self._patience = self._loop.call_later(REFUSED_SECONDS, self.close)

    def _hurry(self) -> None:
        self.abort("no hello")

    def _begin(self, stream: int, payload: bytes) -> None:
        if stream in self._answers:
            raise WireError(f"stream {stream} is already open")
        request = wire.unpack(Request, payload)
        answer = TcpAnswer(self, stream)
        if self._serving.draining:
            answer.fail("unavailable", "the worker is shutting down", "")
            return
        self._answers[stream] = answer
        task = answer.task = asyncio.ensure_future(self._serving.handler(request, answer))
        self._serving.tasks.add(task)
        task.add_done_callback(self._serving.tasks.discard)
        task.add_done_callback(lambda _: self._answers.pop(stream, None))

    def closed(self, reason: str) -> None:
        self._patience.cancel()
        self._serving.connections.discard(self)
        answers = list(self._answers.values())
        self._answers.clear()
        for answer in answers:
            if answer.task is not None:
                answer.task.cancel()


class TcpServing:
    """A handler behind a listening socket."""

    def __init__(self, handler: Handler, token: str) -> None:
        self.handler = handler
        self.token = token
        self.address = ""
        self.draining = False
        self.connections: set[WorkerConnection] = set()
        self.tasks: set[asyncio.Future[None]] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int, advertise: str) -> None:
        """Start to listen. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: WorkerConnection(self), host, port, backlog=512)
        bound = self._server.sockets[0].getsockname()
        name = advertise or bound[0]
        self.address = f"tcp://[{name}]:{bound[1]}" if ":" in name else f"tcp://{name}:{bound[1]}"

    async def drain(self, timeout: float) -> None:
        self.draining = True
        tasks = list(self.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.close()
        await asyncio.sleep(0)


class TcpTransport:
    """Requests and answers on direct TCP. `token` is the graph's; `host` and `port` are where a worker listens (0: any
    free port), `advertise` is the name that callers use where it is another.
    """

    def __init__(self, token: str = "", host: str = "127.0.0.1", advertise: str = "", port: int = 0) -> None:
        self._token = token
        self._host = host
        self._advertise = advertise
        self._port = port
        self._connections: dict[str, CallerConnection] = {}
        self._dialling: dict[str, asyncio.Future[CallerConnection]] = {}

    async def serve(self, handler: Handler) -> TcpServing:
        serving = TcpServing(handler, self._token)
        try:
            await serving.listen(self._host, self._port, self._advertise)
        except OSError as error:
            where = f"{self._host}:{self._port}" if self._port else self._host
            raise Unavailable(f"cannot listen on {where}: {error.strerror or error}") from error
        return serving

    async def request(self, address: str, request: Request) -> Exchange:
        connection = self._connections.get(address)
        if connection is None or connection.failure is not None:
            connection = await self._connect(address)
        if connection.paused:
            await connection.writable()
        return connection.start(request)

    async def _connect(self, address: str) -> CallerConnection:
        dialling = self._dialling.get(address)
        if dialling is None:
            dialling = self._dialling[address] = asyncio.ensure_future(self._dial(address))
            dialling.add_done_callback(lambda _: self._dialling.pop(address, None))
        try:
            return await asyncio.shield(dialling)
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"cannot reach {address}: {error or 'no answer'}") from error

    async def _dial(self, address: str) -> CallerConnection:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        if not port.isdigit():
            raise OSError("not an address")
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_SECONDS):
            _, connection = await loop.create_connection(
                lambda: CallerConnection(self._token), host.strip("[]"), int(port)
            )
        self._connections[address] = connection
        return connection

    async def close(self) -> None:
        for connection in list(self._connections.values()):
            connection.close()
            connection.closed("this end was closed")
        self._connections.clear()
        await asyncio.sleep(0)
