"""Topics of events kept by NATS' JetStream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from dynamo.coordination.nats.connection import FAILURES, Nats, nats
from dynamo.coordination.topics import KEEP, PATIENCE_SECONDS, Event, decode_event
from dynamo.messages import naming, payload
from dynamo.sdk.errors import BadRequest, Unavailable

_NO_KEY = "="
_BEAT_SECONDS = 1.0
_SILENT_SECONDS = 3.0
_AGE_SECONDS = 24 * 3600.0
_Api = nats.js.api


class NatsTopic:
    """One topic: a stream whose subjects end in the key."""

    def __init__(self, connection: Nats, namespace: str, name: str, keep: int) -> None:
        self._connection = connection
        self._keep = keep
        self._subject = f"dynamo.events.{naming.encode_token(namespace)}.{naming.encode_token(name)}"
        self._settings = _Api.StreamConfig(
            name=f"dynamo_events_{naming.encode_token(namespace)}_{naming.encode_token(name)}",
            subjects=[f"{self._subject}.*"],
            max_msgs=keep,
            max_age=_AGE_SECONDS,
            storage=_Api.StorageType.FILE,
            allow_direct=True,
        )

    def _subject_of(self, key: str) -> str:
        return f"{self._subject}.{naming.encode_token(key) or _NO_KEY}"

    async def publish(self, value: Any, key: str = "") -> int:
        body = payload.encode(value)
        if self._keep:
            return await self._connection.store_message(self._settings, self._subject_of(key), body, PATIENCE_SECONDS)
        try:
            await self._connection.client.publish(self._subject_of(key), body)
        except nats.errors.MaxPayloadError as error:
            raise BadRequest(f"an event of {len(body)} bytes is over what the NATS server takes") from error
        except FAILURES as error:
            raise Unavailable(f"cannot publish: {error}") from error
        return 0

    async def follow(self, after: int | None = 0) -> AsyncIterator[Event]:
        if not self._keep:
            async for live in self._follow_live():
                yield live
            return
        last = after
        while True:
            try:
                async for number, event in self._follow_stored(last):
                    last = number
                    if event is not None:
                        yield event
            except (*FAILURES, Unavailable):
                await asyncio.sleep(0.2)

    async def _follow_live(self) -> AsyncIterator[Event]:
        subscription = await self._connection.client.subscribe(f"{self._subject}.*")
        try:
            async for message in subscription.messages:
                yield self._build_event(0, message)
        finally:
            await _end_subscription(subscription)

    async def _follow_stored(self, last: int | None) -> AsyncIterator[tuple[int, Event | None]]:
        """The events after `last` until something is amiss; first (number, None) says from where on."""
        stream = await self._connection.open_stream(self._settings)
        newest = (await stream.stream_info(self._settings.name)).state.last_seq
        if last is None or last > newest:
            last = newest if last is None else 0
            yield last, None
        inbox = self._connection.client.new_inbox()
        subscription = await self._connection.client.subscribe(inbox, pending_msgs_limit=-1, pending_bytes_limit=-1)
        expected = 1
        try:
            await stream.add_consumer(
                self._settings.name,
                deliver_subject=inbox,
                deliver_policy=_Api.DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=last + 1,
                ack_policy=_Api.AckPolicy.NONE,
                idle_heartbeat=_BEAT_SECONDS,
                flow_control=True,
                inactive_threshold=30,
                mem_storage=True,
                max_deliver=1,
            )
            while True:
                message = await subscription.next_msg(_SILENT_SECONDS)
                if (message.headers or {}).get("Status"):
                    if message.reply:
                        await self._connection.client.publish(message.reply)
                    continue
                place = message.metadata.sequence
                if place.consumer != expected:
                    return
                expected += 1
                yield place.stream, self._build_event(place.stream, message)
        finally:
            await _end_subscription(subscription)

    def _build_event(self, number: int, message: Any) -> Event:
        key = message.subject.rpartition(".")[2]
        return Event(number, "" if key == _NO_KEY else naming.decode_token(key), decode_event(message.data))

    async def forget(self, key: str) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_SECONDS
        while True:
            try:
                stream = await self._connection.open_stream(self._settings)
                await stream.purge_stream(self._settings.name, subject=self._subject_of(key))
                return
            except nats.js.errors.APIError as error:
                raise Unavailable(f"cannot forget events: {error}") from error
            except (*FAILURES, Unavailable) as error:
                if loop.time() >= until:
                    raise Unavailable(f"cannot forget events: {error}") from error
                await asyncio.sleep(0.1)


async def _end_subscription(subscription: Any) -> None:
    with contextlib.suppress(*FAILURES):
        await subscription.unsubscribe()


class NatsEvents:
    """Topics on a NATS server."""

    def __init__(self, connection: Nats) -> None:
        self._connection = connection

    def topic(self, namespace: str, name: str, *, keep: int = KEEP) -> NatsTopic:
        return NatsTopic(self._connection, namespace, name, keep)
