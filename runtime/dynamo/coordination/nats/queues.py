"""Queues of jobs kept by NATS' JetStream: a work-queue stream, one durable consumer, and a stream of the dead."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from dynamo.coordination.nats.connection import FAILURES, Nats, nats
from dynamo.coordination.queues import ATTEMPTS, PATIENCE_SECONDS
from dynamo.coordination.topics import PATIENCE_SECONDS as BROKER_SECONDS
from dynamo.coordination.topics import decode_event
from dynamo.messages import naming, payload
from dynamo.sdk.errors import Unavailable

_TAKERS = "takers"
_SHOWN = 1000
_Api = nats.js.api


class NatsJob:
    """A job that was taken."""

    def __init__(self, message: Any, attempt: int) -> None:
        self._message = message
        self.attempt = attempt
        self.value = decode_event(message.data)

    async def done(self) -> None:
        """It is finished. Raises Unavailable: then somebody else may do it again."""
        try:
            await self._message.ack_sync(timeout=BROKER_SECONDS)
        except FAILURES as error:
            raise Unavailable(f"cannot say that a job is done: {error}") from error

    async def again(self, delay: float = 0.0) -> None:
        """Give it back; when that cannot be said, patience runs out and it is the same."""
        try:
            await self._message.nak(delay or None)
        except FAILURES:
            return

    async def working(self) -> None:
        """Patience begins anew."""
        try:
            await self._message.in_progress()
        except FAILURES:
            return


class NatsQueue:
    """One queue."""

    def __init__(self, connection: Nats, namespace: str, name: str, patience: float, attempts: int) -> None:
        self._connection = connection
        self._attempts = attempts
        self._patience = patience
        self._subject = f"dynamo.queue.{naming.encode_token(namespace)}.{naming.encode_token(name)}"
        self._dead_subject = f"dynamo.dead.{naming.encode_token(namespace)}.{naming.encode_token(name)}"
        self._settings = _Api.StreamConfig(
            name=f"dynamo_queue_{naming.encode_token(namespace)}_{naming.encode_token(name)}",
            subjects=[self._subject],
            retention=_Api.RetentionPolicy.WORK_QUEUE,
            storage=_Api.StorageType.FILE,
            duplicate_window=120,
        )
        self._dead_settings = _Api.StreamConfig(
            name=f"dynamo_dead_{naming.encode_token(namespace)}_{naming.encode_token(name)}",
            subjects=[self._dead_subject],
            storage=_Api.StorageType.FILE,
            allow_direct=True,
        )
        self._taking: Any = None

    async def put(self, value: Any, key: str = "") -> None:
        body = payload.encode(value)
        await self._connection.store_message(
            self._settings, self._subject, body, BROKER_SECONDS, key or secrets.token_hex(12)
        )

    async def take(self, timeout: float = 1.0) -> NatsJob | None:
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout
        problem: Exception | None = None
        while (left := until - loop.time()) > 0:
            try:
                if self._taking is None:
                    self._taking = await self._open_consumer()
                (message,) = await self._taking.fetch(1, timeout=left)
                problem = None
                job = NatsJob(message, message.metadata.num_delivered)
                if job.attempt <= self._attempts:
                    return job
                await self._bury_message(message)
            except nats.errors.TimeoutError:
                problem = None if self._connection.client.is_connected else problem
            except (*FAILURES, Unavailable) as error:
                problem, self._taking = error, None
                await asyncio.sleep(min(0.2, max(0.0, until - loop.time())))
        if problem is not None:
            raise Unavailable(f"cannot take a job: {problem}") from problem
        return None

    async def _open_consumer(self) -> Any:
        stream = await self._connection.open_stream(self._settings)
        await stream.add_consumer(
            self._settings.name,
            durable_name=_TAKERS,
            ack_policy=_Api.AckPolicy.EXPLICIT,
            ack_wait=self._patience,
            max_deliver=-1,
            max_ack_pending=-1,
        )
        return await stream.pull_subscribe_bind(_TAKERS, self._settings.name)

    async def _bury_message(self, message: Any) -> None:
        kept = f"{self._settings.name}-{message.metadata.sequence.stream}"
        await self._connection.store_message(
            self._dead_settings, self._dead_subject, message.data, BROKER_SECONDS, kept
        )
        await message.ack_sync(timeout=BROKER_SECONDS)

    async def size(self) -> int:
        try:
            stream = await self._connection.open_stream(self._settings)
            return int((await stream.stream_info(self._settings.name)).state.messages)
        except FAILURES as error:
            raise Unavailable(f"cannot count jobs: {error}") from error

    async def dead(self) -> list[Any]:
        return [decode_event(body) for _, body in await self._read_dead()]

    async def revive(self) -> int:
        count = 0
        while found := await self._read_dead():
            for number, body in found:
                kept = f"{self._dead_settings.name}-{number}"
                await self._connection.store_message(self._settings, self._subject, body, BROKER_SECONDS, kept)
                stream = await self._connection.open_stream(self._dead_settings)
                await stream.delete_msg(self._dead_settings.name, number)
                count += 1
        return count

    async def _read_dead(self) -> list[tuple[int, bytes]]:
        name = self._dead_settings.name
        found: list[tuple[int, bytes]] = []
        try:
            stream = await self._connection.open_stream(self._dead_settings)
            state = (await stream.stream_info(name)).state
            number = state.first_seq
            while state.messages and number <= state.last_seq and len(found) < _SHOWN:
                kept = await stream.get_msg(name, number, next=True, subject=self._dead_subject, direct=True)
                found.append((kept.seq, kept.data or b""))
                number = kept.seq + 1
        except FAILURES as error:
            raise Unavailable(f"cannot read the jobs that were given up: {error}") from error
        return found


class NatsQueues:
    """Queues on a NATS server."""

    def __init__(self, connection: Nats) -> None:
        self._connection = connection
        self._queues: dict[tuple[str, str], NatsQueue] = {}

    def queue(
        self, namespace: str, name: str, *, patience: float = PATIENCE_SECONDS, attempts: int = ATTEMPTS
    ) -> NatsQueue:
        key = (namespace, name)
        if key not in self._queues:
            self._queues[key] = NatsQueue(self._connection, namespace, name, patience, attempts)
        return self._queues[key]
