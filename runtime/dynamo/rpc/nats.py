"""Transport over the NATS server, for processes that cannot reach each other: the frames of the TCP plane in messages.

A worker listens on `dynamo.call.<worker>.<connection>`, a caller on `dynamo.answer.<caller>.<connection>`. A message is
a number (u32) and bytes of the connection; NATS may lose messages when the server restarts, so a number that is missing
ends the connection, and its calls fail or are tried elsewhere. The server answers for a subscriber that is gone.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import Any

from dynamo.coordination.nats.connection import FAILURES, Nats
from dynamo.rpc.client_connection import CallerConnection
from dynamo.rpc.connection import FrameConnection
from dynamo.rpc.connection_pool import FrameCalls
from dynamo.rpc.server_connection import FrameServing, WorkerConnection
from dynamo.rpc.transport import Handler
from dynamo.sdk.errors import Unavailable

LARGEST = 256 * 1024
HIGH, LOW = 4 * 1024 * 1024, 1024 * 1024
BEAT_SECONDS, IDLE_BEATS, SILENT_BEATS = 1.0, 60, 10
_END = 0xFFFFFFFF
_NUMBERS = _END


class Outbox:
    """What this process publishes for its connections, in order, by one task."""

    def __init__(self, connection: Nats) -> None:
        self._connection = connection
        self._waiting: deque[tuple[NatsPipe, bytes]] = deque()
        self._kick = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def put_message(self, pipe: NatsPipe, message: bytes) -> None:
        """Publish it after those before."""
        self._waiting.append((pipe, message))
        self._kick.set()
        if self._task is None:
            self._task = asyncio.ensure_future(self._run_publisher())

    async def _run_publisher(self) -> None:
        while True:
            await self._publish_waiting()
            self._kick.clear()
            await self._kick.wait()

    async def _publish_waiting(self) -> None:
        while self._waiting:
            pipe, message = self._waiting.popleft()
            try:
                await self._connection.client.publish(pipe.there, message, pipe.here)
            except FAILURES as error:
                pipe.break_connection(f"the NATS server takes nothing: {error}")
            pipe.on_published(len(message))

    async def close(self) -> None:
        """Publish what waits, for a second at most, then stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        try:
            async with asyncio.timeout(1.0):
                await self._publish_waiting()
        except TimeoutError:
            return


class NatsPipe:
    """One end of a connection: bytes out as numbered messages, numbered messages in as bytes."""

    def __init__(self, outbox: Outbox, owner: FrameConnection, here: str, there: str) -> None:
        self.here = here
        self.there = there
        self._outbox = outbox
        self._owner = owner
        self._sent = self._received = self._backlog = 0
        self._paused = self._closing = False
        self._quiet = self._unheard = 0
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(BEAT_SECONDS, self._send_heartbeat)
        self.on_end: Any = None

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), LARGEST):
            self._send_message(data[start : start + LARGEST])

    def _send_message(self, data: bytes) -> None:
        self._backlog += len(data) + 4
        self._quiet = 0
        self._outbox.put_message(self, self._sent.to_bytes(4, "big") + data)
        self._sent = (self._sent + 1) % _NUMBERS
        if self._backlog > HIGH and not self._paused:
            self._paused = True
            self._owner.pause_writing()

    def on_published(self, size: int) -> None:
        """So many bytes were handed to the server."""
        self._backlog -= size
        if self._paused and self._backlog < LOW:
            self._paused = False
            self._owner.resume_writing()

    def receive_message(self, message: Any) -> None:
        """A message arrived."""
        if self._closing:
            return
        if message.headers and message.headers.get("Status"):
            self.break_connection("nobody is there any more")
            return
        number = int.from_bytes(message.data[:4], "big")
        if number == _END:
            self._end_connection(None)
        elif number != self._received:
            self.break_connection("messages were lost on the way")
        else:
            self._unheard = 0
            self._received = (self._received + 1) % _NUMBERS
            if len(message.data) > 4:
                self._owner.data_received(message.data[4:])

    def _send_heartbeat(self) -> None:
        """Say that this end is there: often while it works, now and then else. Nobody there: the server says so."""
        self._timer = self._loop.call_later(BEAT_SECONDS, self._send_heartbeat)
        busy = self._owner.is_busy
        self._quiet += 1
        self._unheard = self._unheard + 1 if busy else 0
        if self._unheard > SILENT_BEATS:
            self.break_connection(f"no sign of life for {SILENT_BEATS * BEAT_SECONDS:.0f} seconds")
        elif busy or self._quiet >= IDLE_BEATS:
            self._send_message(b"")

    def break_connection(self, reason: str) -> None:
        """The connection is of no use any more."""
        if not self._closing:
            self._outbox.put_message(self, _END.to_bytes(4, "big"))
            self._end_connection(ConnectionError(reason))

    def _end_connection(self, error: Exception | None) -> None:
        self._closing = True
        self._timer.cancel()
        if self.on_end is not None:
            self.on_end()
        self._owner.connection_lost(error)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._outbox.put_message(self, _END.to_bytes(4, "big"))
            self._closing = True
            self._timer.cancel()
            if self.on_end is not None:
                self.on_end()
            self._loop.call_soon(self._owner.connection_lost, None)

    abort = close


class NatsServing(FrameServing):
    """A handler behind a subject."""

    def __init__(self, handler: Handler, token: str, connection: Nats, outbox: Outbox) -> None:
        super().__init__(handler, token)
        self._connection = connection
        self._outbox = outbox
        self._name = secrets.token_hex(8)
        self._pipes: dict[str, NatsPipe] = {}
        self._subscription: Any = None

    async def start_listening(self) -> None:
        """Start to take messages. Raises the library's errors."""
        self._subscription = await self._connection.client.subscribe(
            f"dynamo.call.{self._name}.*", cb=self._on_message, pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        await self._connection.client.flush(3)
        self.address = f"nats://{self._name}"

    async def _on_message(self, message: Any) -> None:
        pipe = self._pipes.get(message.subject)
        if pipe is None:
            if message.data[:4] != bytes(4) or not message.reply:
                if message.data and message.reply and message.data[:4] != _END.to_bytes(4, "big"):
                    await self._connection.client.publish(message.reply, _END.to_bytes(4, "big"))
                return
            worker = WorkerConnection(self)
            pipe = self._pipes[message.subject] = NatsPipe(self._outbox, worker, message.subject, message.reply)
            pipe.on_end = lambda: self._pipes.pop(message.subject, None)
            worker.attach_pipe(pipe)
        pipe.receive_message(message)

    async def stop_listening(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None and self._connection.client.is_connected:
            try:
                await subscription.unsubscribe()
            except FAILURES:
                return


class NatsTransport(FrameCalls):
    """Requests and answers over the NATS server; `token` is the graph's."""

    def __init__(self, connection: Nats, token: str = "") -> None:
        super().__init__(token)
        self._connection = connection
        self._outbox = Outbox(connection)
        self._name = secrets.token_hex(8)
        self._pipes: dict[str, NatsPipe] = {}
        self._subscribing: asyncio.Future[Any] | None = None
        self._numbers = 0

    async def serve(self, handler: Handler) -> NatsServing:
        serving = NatsServing(handler, self._token, self._connection, self._outbox)
        try:
            await serving.start_listening()
        except FAILURES as error:
            raise Unavailable(f"cannot listen on the NATS server: {error}") from error
        self._servings.append(serving)
        return serving

    async def dial(self, address: str) -> CallerConnection:
        name = address.removeprefix("nats://")
        if not name.isalnum():
            raise OSError("not an address of the NATS request plane (DYN_REQUEST_PLANE differs between processes?)")
        if self._subscribing is None or (self._subscribing.done() and self._subscribing.exception()):
            self._subscribing = asyncio.ensure_future(self._subscribe_answers())
        try:
            await asyncio.shield(self._subscribing)
        except FAILURES as error:
            raise OSError(f"the NATS server does not answer: {error}") from error
        self._numbers += 1
        connection = CallerConnection(self._token)
        here = f"dynamo.answer.{self._name}.{self._numbers}"
        pipe = NatsPipe(self._outbox, connection, here, f"dynamo.call.{name}.{self._name}-{self._numbers}")
        self._pipes[here] = pipe
        pipe.on_end = lambda: self._pipes.pop(here, None)
        connection.attach_pipe(pipe)
        return connection

    async def _subscribe_answers(self) -> Any:
        subject = f"dynamo.answer.{self._name}.*"
        return await self._connection.client.subscribe(
            subject, cb=self._on_message, pending_msgs_limit=-1, pending_bytes_limit=-1
        )

    async def _on_message(self, message: Any) -> None:
        pipe = self._pipes.get(message.subject)
        if pipe is not None:
            pipe.receive_message(message)

    async def close(self) -> None:
        await super().close()
        await self._outbox.close()
