"""The registry of instances, kept in NATS' key-value store.

Entries live by heartbeats. Callers read the stored entries once and then follow the subject that every write passes,
so a restarted server needs nothing but its address: the heartbeats fill registry and watches again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from dynamo.coordination.discovery import HEARTBEAT_SECONDS, LEASE_SECONDS, Instance, Watch
from dynamo.coordination.nats.connection import FAILURES, Nats, nats
from dynamo.messages import naming
from dynamo.sdk.errors import Unavailable

INSTANCES = "dynamo_instances"
LOOK_UPS = 3
"""How often a server that is slow is asked."""
_STORED_SECONDS = 10.0
_SURE_BEATS = 3
"""Every so many heartbeats one waits for the server's word that it was taken."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Instance).decode


class NatsLease:
    """An instance's entry, put again with every heartbeat."""

    def __init__(self, discovery: NatsDiscovery, instance: Instance) -> None:
        self._discovery = discovery
        self._instance = instance
        self._heart = asyncio.ensure_future(self._send_heartbeats())

    async def _send_heartbeats(self) -> None:
        again, beats = False, 0
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            beats += 1
            try:
                if again or beats % _SURE_BEATS == 0:
                    await self._discovery.write_instance(self._instance, again=again)
                else:
                    await self._discovery.send_heartbeat(self._instance)
                again = False
            except (*FAILURES, Unavailable):
                again = True

    async def close(self) -> None:
        self._heart.cancel()
        await asyncio.gather(self._heart, return_exceptions=True)
        try:
            await self._discovery.withdraw_instance(self._instance)
        except (*FAILURES, Unavailable):
            return


class NatsDiscovery:
    """The registry of instances on a NATS server."""

    def __init__(self, connection: Nats) -> None:
        self.connection = connection
        self._leases: list[NatsLease] = []
        self._watches: dict[Watch, Any] = {}

    async def register(self, instance: Instance) -> NatsLease:
        try:
            await self.write_instance(instance)
        except FAILURES as error:
            raise Unavailable(f"cannot register with the NATS server: {error}") from error
        lease = NatsLease(self, instance)
        self._leases.append(lease)
        return lease

    async def write_instance(self, instance: Instance, *, again: bool = False) -> None:
        """Write an entry; `again` looks whether the bucket is still there."""
        bucket = await self._open_bucket(again=again)
        await bucket.put(instance.key, _encode(instance))

    async def send_heartbeat(self, instance: Instance) -> None:
        """Write an entry again, without waiting whether it was taken."""
        await self.connection.client.publish(f"$KV.{INSTANCES}.{instance.key}", _encode(instance))

    async def withdraw_instance(self, instance: Instance) -> None:
        """Take an entry away. Nothing is waited for: who ends with its event loop hears no answer any more."""
        if self.connection.client.is_connected:
            subject = f"$KV.{INSTANCES}.{instance.key}"
            await self.connection.client.publish(subject, headers={"KV-Operation": "DEL"})

    async def _open_bucket(self, *, again: bool = False) -> Any:
        return await self.connection.open_bucket(
            INSTANCES, again=again, history=1, ttl=_STORED_SECONDS, storage=nats.js.api.StorageType.MEMORY
        )

    async def watch(self, namespace: str, component: str) -> Watch:
        client = self.connection.client
        watch = Watch(
            self._forget_watch, self.connection.connected_time, LEASE_SECONDS, beating=lambda: client.is_connected
        )
        keys = naming.component_filter(namespace, component)

        last: dict[str, bytes] = {}

        async def on_message(message: Any) -> None:
            key = message.subject[message.subject.rindex(".") + 1 :]
            if message.headers is None and last.get(key) == message.data and watch.renew_instance(int(key, 16)):
                return
            if message.headers is None:
                last[key] = message.data
            else:
                last.pop(key, None)
            self._apply_entry(watch, key, message.data, message.headers)

        bucket = await self._open_bucket()
        tries = LOOK_UPS
        while True:
            try:
                if watch not in self._watches:
                    self._watches[watch] = await client.subscribe(f"$KV.{INSTANCES}.{keys}", cb=on_message)
                await self._look_up(watch, bucket, keys)
                return watch
            except FAILURES as error:
                tries -= 1
                if not tries:
                    watch.close()
                    raise Unavailable(f"cannot look up `{namespace}/{component}`: {error}") from error

    async def _look_up(self, watch: Watch, bucket: Any, keys: str) -> None:
        stored = await bucket.watch(keys)
        async for entry in stored:
            if entry is None:
                break
            self._apply_entry(watch, entry.key.rpartition(".")[2], entry.value, {"KV-Operation": entry.operation or ""})
        await stored.stop()

    def _apply_entry(self, watch: Watch, key: str, value: bytes | None, headers: Mapping[str, str] | None) -> None:
        if headers and (headers.get("KV-Operation") in ("DEL", "PURGE") or headers.get("Nats-Marker-Reason")):
            watch.remove_instance(int(key, 16))
            return
        try:
            watch.record_instance(_decode(value or b""))
        except msgspec.DecodeError:
            return  # not an entry of ours; nobody is listed because of it

    def _forget_watch(self, watch: Watch) -> None:
        subscription = self._watches.pop(watch, None)
        if subscription is not None and self.connection.client.is_connected:
            task = asyncio.ensure_future(subscription.unsubscribe())
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def close(self) -> None:
        for lease in self._leases:
            await lease.close()
        self._leases.clear()
        self._watches.clear()
