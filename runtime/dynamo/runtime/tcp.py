"""Transport on direct TCP: one connection for each pair of processes, all requests multiplexed on it."""

from __future__ import annotations

import asyncio

from dynamo.runtime.callee import FrameServing, WorkerConnection
from dynamo.runtime.caller import CallerConnection
from dynamo.runtime.transport import Exchange, Handler
from dynamo.runtime.wire import Request
from dynamo.sdk.errors import Unavailable

CONNECT_SECONDS = 3.0


class TcpServing(FrameServing):
    """A handler behind a listening socket."""

    _server: asyncio.Server | None = None

    async def listen(self, host: str, port: int, advertise: str) -> None:
        """Start to listen. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: WorkerConnection(self), host, port, backlog=512)
        bound = self._server.sockets[0].getsockname()
        name = advertise or bound[0]
        self.address = f"tcp://[{name}]:{bound[1]}" if ":" in name else f"tcp://{name}:{bound[1]}"

    async def stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()


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
