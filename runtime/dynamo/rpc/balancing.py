"""Choice of the instance of a component that gets a call."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import Any

from dynamo.coordination.discovery import Instance, Watch
from dynamo.messages import naming
from dynamo.rpc.transport import Transport

Pick = Callable[[list[Instance]], Instance]


class Component:
    """The instances of one component, as a caller in this process sees them: routing state is shared by all calls."""

    def __init__(
        self, namespace: str, component: str, transport: Transport, watch: Callable[[], Any], timeout: float = 0.0
    ) -> None:
        self.timeout = timeout
        self.namespace = namespace
        self.component = component
        self.transport = transport
        self._watch_now = watch
        self._watch: Watch | None = None
        self._starting: asyncio.Future[Watch] | None = None
        self._turns = itertools.count(random.randrange(1 << 16))
        self._paths: dict[str, str] = {}
        self.load: dict[int, int] = {}

    async def open_watch(self) -> Watch:
        """Its watch; started by the first call. Raises Unavailable when discovery cannot be reached."""
        if self._watch is None:
            if self._starting is None or self._starting.done():
                self._starting = asyncio.ensure_future(self._watch_now())
            watch: Watch = await asyncio.shield(self._starting)
            self._watch = watch
        return self._watch

    def format_path(self, endpoint: str) -> str:
        """How a request names that endpoint."""
        found = self._paths.get(endpoint)
        if found is None:
            found = self._paths[endpoint] = naming.format_path(self.namespace, self.component, endpoint)
        return found

    @property
    def active_watch(self) -> Watch | None:
        """Its watch, when a call or `watch` started it."""
        return self._watch

    def pick_random(self, instances: list[Instance]) -> Instance:
        """Any of them."""
        return instances[0] if len(instances) == 1 else random.choice(instances)

    def pick_round_robin(self, instances: list[Instance]) -> Instance:
        """One after the other."""
        return instances[next(self._turns) % len(instances)]

    def pick_least_loaded(self, instances: list[Instance]) -> Instance:
        """The one with the fewest calls of this process running; among equals the next in turn."""
        turn = next(self._turns)
        order = instances[turn % len(instances) :] + instances[: turn % len(instances)]
        return min(order, key=lambda instance: self.load.get(instance.id, 0))
