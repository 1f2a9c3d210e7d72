"""Instances and their leases: who serves a component, and where. In memory here; over NATS in `registry`.

A lease lives while its heartbeats arrive. A watch forgets an instance when its lease ran out, whether or not anybody
said that it went, and sets it aside when a caller reports it unreachable.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from dynamo.messages import naming

HEARTBEAT_SECONDS = 1.0
LEASE_SECONDS = 4.0
ASIDE_SECONDS = 0.5
GLANCE_SECONDS = 0.05
"""How long a list of usable instances is good, when nothing is heard."""


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One worker of a component: its id, where it listens, and the endpoints it has."""

    namespace: str
    component: str
    id: int
    address: str
    endpoints: tuple[str, ...]

    @property
    def key(self) -> str:
        """Its key in the registry."""
        return naming.instance_key(self.namespace, self.component, self.id)


def new_id() -> int:
    """An id that no other instance has; fits any JSON reader's integers."""
    return secrets.randbits(48)


class Watch:
    """The instances of one component as they are now. Transports of news call `seen` and `gone`."""

    def __init__(
        self,
        on_close: Callable[[Watch], None],
        clock: Callable[[], float],
        lease: float = 0.0,
        *,
        beating: Callable[[], bool] = lambda: True,
    ) -> None:
        self._on_close = on_close
        self._clock = clock
        self._lease = lease
        self._beating = beating
        self._known: dict[int, tuple[Instance, float]] = {}
        self._aside: dict[int, tuple[float, float]] = {}
        self._usable: dict[str, list[Instance]] = {}
        self._usable_until = 0.0
        self._changed = asyncio.Event()

    def record_instance(self, instance: Instance) -> None:
        """An instance is there, or still is."""
        now = self._clock()
        known = self._known.get(instance.id)
        self._known[instance.id] = (instance, now)
        if known is None or known[0] != instance:
            self._aside.pop(instance.id, None)
            self._usable_until = 0.0
            self._changed.set()

    def renew_instance(self, instance: int) -> bool:
        """An instance is as it was; False when it is not known."""
        known = self._known.get(instance)
        if known is None:
            return False
        self._known[instance] = (known[0], self._clock())
        return True

    def remove_instance(self, instance: int) -> None:
        """An instance left."""
        if self._known.pop(instance, None) is not None:
            self._usable_until = 0.0
            self._changed.set()

    def set_aside(self, instance: int) -> None:
        """A caller could not reach it: not used until a little time passed and, where there are leases, it was seen.

        While the broker is away nobody is seen: then the time alone decides.
        """
        self._aside[instance] = (time.monotonic() + ASIDE_SECONDS, self._clock())
        self._usable_until = 0.0

    def list_instances(self, endpoint: str = "") -> list[Instance]:
        """The usable instances that have the endpoint, those known longest first; not to be changed."""
        now = self._clock()
        if now >= self._usable_until:
            self._usable.clear()
            self._usable_until = now + GLANCE_SECONDS
        found = self._usable.get(endpoint)
        if found is None:
            found = self._usable[endpoint] = self._list_usable(endpoint, now)
        return found

    def _list_usable(self, endpoint: str, now: float) -> list[Instance]:
        if self._lease:
            for late in [key for key, (_, heard) in self._known.items() if now - heard > self._lease]:
                del self._known[late]
        usable = []
        for key, (instance, heard) in self._known.items():
            if key in self._aside:
                until, since = self._aside[key]
                if until > time.monotonic() or (self._lease and heard <= since and self._beating()):
                    continue
                del self._aside[key]
            if not endpoint or endpoint in instance.endpoints:
                usable.append(instance)
        return usable

    async def wait_for_change(self, timeout: float) -> bool:
        """Wait until something changed; False when the time passed."""
        self._changed.clear()
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Stop watching."""
        self._on_close(self)


class Lease(Protocol):
    """An instance's entry in the registry."""

    async def close(self) -> None:
        """Take the entry away."""


class Discovery(Protocol):
    """Where instances are registered and looked up."""

    async def register(self, instance: Instance) -> Lease:
        """Make an instance known, until the lease is closed or this process ends."""

    async def watch(self, namespace: str, component: str) -> Watch:
        """Follow the instances of a component; those already there are in it when this returns."""

    async def close(self) -> None:
        """Close all leases and watches."""


class MemoryLease:
    """An entry of `MemoryDiscovery`."""

    def __init__(self, discovery: MemoryDiscovery, instance: Instance) -> None:
        self._discovery = discovery
        self._instance = instance

    async def close(self) -> None:
        self._discovery.withdraw_instance(self._instance)


class MemoryDiscovery:
    """A registry inside one process."""

    def __init__(self) -> None:
        self._instances: dict[str, Instance] = {}
        self._watches: list[tuple[str, str, Watch]] = []

    async def register(self, instance: Instance) -> MemoryLease:
        self._instances[instance.key] = instance
        for namespace, component, watch in self._watches:
            if (namespace, component) == (instance.namespace, instance.component):
                watch.record_instance(instance)
        return MemoryLease(self, instance)

    def withdraw_instance(self, instance: Instance) -> None:
        """Forget an instance."""
        self._instances.pop(instance.key, None)
        for _, _, watch in self._watches:
            watch.remove_instance(instance.id)

    async def watch(self, namespace: str, component: str) -> Watch:
        watch = Watch(self._forget_watch, asyncio.get_running_loop().time)
        self._watches.append((namespace, component, watch))
        for instance in self._instances.values():
            if (instance.namespace, instance.component) == (namespace, component):
                watch.record_instance(instance)
        return watch

    def _forget_watch(self, watch: Watch) -> None:
        self._watches = [entry for entry in self._watches if entry[2] is not watch]

    async def close(self) -> None:
        self._watches.clear()
        self._instances.clear()
