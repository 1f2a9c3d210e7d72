"""A process's door to the graph: `connect()`, and the path from a namespace to a client of an endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping

from dynamo.coordination import session_file
from dynamo.coordination.discovery import Discovery
from dynamo.coordination.queues import MemoryQueues, Queues
from dynamo.coordination.topics import Events, MemoryEvents
from dynamo.messages import naming
from dynamo.rpc.balancing import Component as Callee
from dynamo.rpc.client import ServiceClient
from dynamo.rpc.endpoint_client import Client
from dynamo.rpc.transport import Transport
from dynamo.sdk.errors import Unavailable

DEFAULT_SERVER = "nats://127.0.0.1:4222"


class DistributedRuntime:
    """This process among the others. Use it in the event loop that made it."""

    def __init__(
        self,
        transport: Transport,
        discovery: Discovery,
        events: Events | None = None,
        queues: Queues | None = None,
    ) -> None:
        self.transport = transport
        self.discovery = discovery
        self.events = events or MemoryEvents()
        self.queues = queues or MemoryQueues()
        self.timeout = 0.0
        """What a call may take in seconds when it says nothing itself; 0: any."""
        self._callees: dict[tuple[str, str], Callee] = {}
        self._closers = contextlib.AsyncExitStack()
        self._keeper: asyncio.Task[None] | None = None

    def namespace(self, name: str) -> Namespace:
        """The namespace of that name."""
        return Namespace(self, name)

    def get_callee(self, namespace: str, component: str) -> Callee:
        """A component as this process calls it; one for each, shared by all clients."""
        key = (namespace, component)
        if key not in self._callees:
            self._callees[key] = Callee(
                namespace, component, self.transport, lambda: self.discovery.watch(namespace, component), self.timeout
            )
        return self._callees[key]

    def service(
        self, namespace: str, component: str, endpoints: Mapping[str, str], timeout: float = 0.0
    ) -> ServiceClient:
        """A client whose attributes are the endpoints of a service."""
        return ServiceClient(self.get_callee(namespace, component), endpoints, timeout)

    def close_with(self, connection: object) -> None:
        """Close that too, last; it has an async `close`."""
        self._closers.push_async_callback(connection.close)  # type: ignore[attr-defined]

    def close_with_loop(self) -> None:
        """Close when the event loop ends, as `asyncio.run` ends it: by cancelling what still runs."""
        self._keeper = asyncio.ensure_future(self._close_when_cancelled())

    async def _close_when_cancelled(self) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self._close_all()

    async def close(self) -> None:
        """Let go of leases, watches and connections."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        else:
            await self._close_all()

    shutdown = close

    async def _close_all(self) -> None:
        self._callees.clear()
        await self.transport.close()
        await self.discovery.close()
        await self._closers.aclose()

    async def __aenter__(self) -> DistributedRuntime:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.close()


class Namespace:
    """A namespace of components."""

    def __init__(self, runtime: DistributedRuntime, name: str) -> None:
        self._runtime = runtime
        self.name = name

    def component(self, name: str) -> Component:
        """The component of that name."""
        return Component(self._runtime, self.name, name)


class Component:
    """A component: all instances of one service."""

    def __init__(self, runtime: DistributedRuntime, namespace: str, name: str) -> None:
        self._runtime = runtime
        self.namespace = namespace
        self.name = name

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint of that name; names may hold `/`."""
        return Endpoint(self._runtime, self.namespace, self.name, name)


class Endpoint:
    """What can be called."""

    def __init__(self, runtime: DistributedRuntime, namespace: str, component: str, name: str) -> None:
        self._runtime = runtime
        self._callee = runtime.get_callee(namespace, component)
        self.name = name
        self.path = naming.format_path(namespace, component, name)

    async def client(self) -> Client:
        """A client that already knows the instances that are there. Raises Unavailable."""
        await self._callee.open_watch()
        return Client(self._callee, self.name)


async def connect(environment: Mapping[str, str] | None = None, window: float | None = None) -> DistributedRuntime:
    """Connect to the running graph: `NATS_SERVER`, else what `dynamo serve` left for this user, else port 4222.

    A worker of it listens on `DYNAMO_TRANSPORT_HOST` and `DYNAMO_TRANSPORT_PORT` (any free port when that is not set);
    its callers are told `DYNAMO_TRANSPORT_ADVERTISE` where they know it by another name.

    `DYNAMO_CALL_TIMEOUT` is what a call may take in seconds when nothing else says it.
    `DYN_REQUEST_PLANE=nats` sends requests and answers over the NATS server instead. What proves who we are is in
    `nats_login` and `planes`.

    Raises Unavailable when none is there, Unauthorized when it does not let us in, BadRequest for a wrong setting.
    """
    # heavy, and of no use to graphs in one process
    from dynamo.coordination.nats import connection as nats
    from dynamo.coordination.nats import credentials, discovery, queues, topics
    from dynamo.rpc import select

    environment = os.environ if environment is None else environment
    url, token = environment.get("NATS_SERVER", ""), environment.get("DYNAMO_TRANSPORT_TOKEN", "")
    plane, login = select.read_plane(environment), credentials.read_credentials(environment)
    patience = nats.WINDOW_SECONDS if window is None else window
    found = None if url else session_file.find_newest_session(environment)
    if found is not None:
        url, token = found.nats, token or found.token
        if found.nats_token:
            login.setdefault("token", found.nats_token)
    elif not url:
        url, patience = DEFAULT_SERVER, min(patience, 2.0)
    connection = nats.Nats(url)
    try:
        await connection.connect(login, patience)
    except Unavailable as error:
        if environment.get("NATS_SERVER") or found is not None:
            raise
        raise Unavailable(f"no running graph was found: {error.message}") from error
    try:
        token = token or await connection.shared_token()
        transport = plane.create_transport(connection, token)
    except BaseException:
        await connection.close()
        raise
    runtime = DistributedRuntime(
        transport,
        discovery.NatsDiscovery(connection),
        topics.NatsEvents(connection),
        queues.NatsQueues(connection),
    )
    runtime.timeout = plane.timeout
    runtime.close_with(connection)
    runtime.close_with_loop()
    return runtime
