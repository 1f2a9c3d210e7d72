"""The door to NATS: one connection, and the registry of instances kept in its key-value store.

Entries live by heartbeats. Callers read the stored entries once and then follow the subject that every write passes,
so a restarted server needs nothing but its address: the heartbeats fill registry and watches again.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from dynamo.runtime import naming
from dynamo.runtime.discovery import HEARTBEAT_SECONDS, LEASE_SECONDS, Instance, Watch
from dynamo.sdk.errors import Unauthorized, Unavailable

# The library loads an HTTP client for its WebSocket transport when it finds one, which doubles our start-up.
_UNWANTED = "aiohttp" not in sys.modules and not os.environ.get("NATS_SERVER", "").startswith("ws")
if _UNWANTED:
    sys.modules["aiohttp"] = None  # type: ignore[assignment]
try:
    import nats
    import nats.errors
    import nats.js.errors
    from nats.js.api import KeyValueConfig, StorageType
finally:
    if _UNWANTED:
        del sys.modules["aiohttp"]

INSTANCES = "dynamo_instances"
SECRETS = "dynamo_secrets"
TOKEN_KEY = "transport_token"  # noqa: S105 - the name of a key, not its value
WINDOW_SECONDS = 10.0
_STORED_SECONDS = 10.0
_FAILURES = (nats.errors.Error, OSError, TimeoutError)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Instance).decode


def credentials(environment: Mapping[str, str]) -> dict[str, Any]:
    """What the environment says about who we are to NATS, as the library's arguments."""
    names = {
        "NATS_AUTH_USERNAME": "user",
        "NATS_AUTH_PASSWORD": "password",
        "NATS_AUTH_TOKEN": "token",
        "NATS_AUTH_NKEY": "nkeys_seed_str",
        "NATS_AUTH_CREDENTIALS_FILE": "user_credentials",
    }
    return {argument: environment[name] for name, argument in names.items() if environment.get(name)}


def host_and_port(url: str) -> tuple[str, int]:
    """Where a NATS address points to. Raises ValueError when it is not one."""
    parts = urlsplit(url if "://" in url else f"nats://{url}")
    if not parts.hostname:
        raise ValueError(f"`{url}` is not an address of a NATS server")
    return parts.hostname, parts.port or 4222


def shown(url: str) -> str:
    """A NATS address without its secrets."""
    host, port = host_and_port(url)
    return f"{host}:{port}"


def local_address(url: str) -> str:
    """The address of this machine on the way to the server: where peers that share the server can dial us."""
    host, port = host_and_port(url)
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(address)
        return str(probe.getsockname()[0])


class Nats:
    """A connection to NATS that outlives restarts of the server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = nats.NATS()
        self._down_since = 0.0
        self._down_before = 0.0
        self._problem: Exception | None = None
        self._buckets: dict[str, Any] = {}

    async def connect(self, login: Mapping[str, Any], window: float = WINDOW_SECONDS) -> None:
        """Connect. Raises Unavailable when nobody answers within the window, Unauthorized when we are not let in."""
        refused = asyncio.Event()

        async def on_error(error: Exception) -> None:
            self._problem = error
            if "authorization" in str(error).lower():
                refused.set()

        connecting = asyncio.ensure_future(
            self.client.connect(
                self.url,
                error_cb=on_error,
                disconnected_cb=self._lost,
                reconnected_cb=self._back,
                connect_timeout=2,
                reconnect_time_wait=0.2,
                max_reconnect_attempts=-1,
                **login,
            )
        )
        refusing = asyncio.ensure_future(refused.wait())
        try:
            await asyncio.wait((connecting, refusing), timeout=window, return_when=asyncio.FIRST_COMPLETED)
            if connecting.done():
                await connecting
            elif refused.is_set():
                raise Unauthorized(f"the NATS server at {shown(self.url)} does not let us in")
            else:
                reason = self._problem or "no answer"
                raise Unavailable(f"no NATS server answers at {shown(self.url)}: {reason}")
        except _FAILURES as error:
            raise Unavailable(f"no NATS server answers at {shown(self.url)}: {error}") from error
        finally:
            refusing.cancel()
            if not connecting.done():
                connecting.cancel()
                await asyncio.gather(connecting, return_exceptions=True)
                await self.close()

    async def _lost(self) -> None:
        if not self._down_since:
            self._down_since = asyncio.get_running_loop().time()

    async def _back(self) -> None:
        if self._down_since:
            self._down_before += asyncio.get_running_loop().time() - self._down_since
            self._down_since = 0.0

    def connected_time(self) -> float:
        """A clock that stands still while there is no server: nobody's lease runs out because of that."""
        return (self._down_since or asyncio.get_running_loop().time()) - self._down_before

    async def bucket(self, name: str, *, again: bool = False, **settings: Any) -> Any:
        """A key-value bucket, made when it is not there. Raises Unavailable."""
        if again or name not in self._buckets:
            jetstream = self.client.jetstream(timeout=3)
            try:
                try:
                    self._buckets[name] = await jetstream.key_value(name)
                except nats.js.errors.BucketNotFoundError:
                    config = KeyValueConfig(bucket=name, **settings)
                    self._buckets[name] = await jetstream.create_key_value(config)
            except nats.js.errors.ServiceUnavailableError as error:
                raise Unavailable(f"the NATS server at {shown(self.url)} runs without JetStream (-js)") from error
            except _FAILURES as error:
                raise Unavailable(f"the NATS server at {shown(self.url)} does not keep keys: {error}") from error
        return self._buckets[name]

    async def shared_token(self) -> str:
        """The token that all who may use this server share for calls; made by the first to ask."""
        bucket = await self.bucket(SECRETS, history=1)
        try:
            await bucket.create(TOKEN_KEY, secrets.token_urlsafe(24).encode())
        except nats.js.errors.KeyWrongLastSequenceError:
            pass
        except _FAILURES as error:
            raise Unavailable(f"the NATS server at {shown(self.url)} does not keep keys: {error}") from error
        return str((await bucket.get(TOKEN_KEY)).value.decode())

    async def close(self) -> None:
        """Close the connection."""
        try:
            await self.client.close()
        except _FAILURES:
            return


class NatsLease:
    """An instance's entry, put again with every heartbeat."""

    def __init__(self, discovery: NatsDiscovery, instance: Instance) -> None:
        self._discovery = discovery
        self._instance = instance
        self._heart = asyncio.ensure_future(self._beat())

    async def _beat(self) -> None:
        again = False
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                await self._discovery.put(self._instance, again=again)
                again = False
            except (*_FAILURES, Unavailable):
                again = True

    async def close(self) -> None:
        self._heart.cancel()
        await asyncio.gather(self._heart, return_exceptions=True)
        try:
            await self._discovery.withdraw(self._instance)
        except (*_FAILURES, Unavailable):
            return


class NatsDiscovery:
    """The registry of instances on a NATS server."""

    def __init__(self, connection: Nats) -> None:
        self._connection = connection
        self._leases: list[NatsLease] = []
        self._watches: dict[Watch, Any] = {}

    async def register(self, instance: Instance) -> NatsLease:
        try:
            await self.put(instance)
        except _FAILURES as error:
            raise Unavailable(f"cannot register with the NATS server: {error}") from error
        lease = NatsLease(self, instance)
        self._leases.append(lease)
        return lease

    async def put(self, instance: Instance, *, again: bool = False) -> None:
        """Write an entry; `again` looks whether the bucket is still there."""
        bucket = await self._bucket(again=again)
        await bucket.put(instance.key, _encode(instance))

    async def withdraw(self, instance: Instance) -> None:
        """Take an entry away."""
        if self._connection.client.is_connected:
            await (await self._bucket()).delete(instance.key)

    async def _bucket(self, *, again: bool = False) -> Any:
        return await self._connection.bucket(
            INSTANCES, again=again, history=1, ttl=_STORED_SECONDS, storage=StorageType.MEMORY
        )

    async def watch(self, namespace: str, component: str) -> Watch:
        watch = Watch(self._forget, self._connection.connected_time, LEASE_SECONDS)
        keys = naming.component_filter(namespace, component)

        async def on_message(message: Any) -> None:
            self._take(watch, message.subject.rpartition(".")[2], message.data, message.headers)

        bucket = await self._bucket()
        try:
            self._watches[watch] = await self._connection.client.subscribe(f"$KV.{INSTANCES}.{keys}", cb=on_message)
            stored = await bucket.watch(keys)
            async for entry in stored:
                if entry is None:
                    break
                self._take(watch, entry.key.rpartition(".")[2], entry.value, {"KV-Operation": entry.operation or ""})
            await stored.stop()
        except _FAILURES as error:
            raise Unavailable(f"cannot look up `{namespace}/{component}`: {error}") from error
        return watch

    def _take(self, watch: Watch, key: str, value: bytes | None, headers: Mapping[str, str] | None) -> None:
        if headers and (headers.get("KV-Operation") in ("DEL", "PURGE") or headers.get("Nats-Marker-Reason")):
            watch.gone(int(key, 16))
            return
        try:
            watch.seen(_decode(value or b""))
        except msgspec.DecodeError:
            return  # not an entry of ours; nobody is listed because of it

    def _forget(self, watch: Watch) -> None:
        subscription = self._watches.pop(watch, None)
        if subscription is not None and self._connection.client.is_connected:
            task = asyncio.ensure_future(subscription.unsubscribe())
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def close(self) -> None:
        for lease in self._leases:
            await lease.close()
        self._leases.clear()
        self._watches.clear()
