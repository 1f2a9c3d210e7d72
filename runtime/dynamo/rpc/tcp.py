"""Transport on direct TCP: one connection for each pair of processes, all requests multiplexed on it."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass

from dynamo.rpc.client_connection import CallerConnection
from dynamo.rpc.connection_pool import FrameCalls
from dynamo.rpc.server_connection import FrameServing, WorkerConnection
from dynamo.rpc.transport import Handler
from dynamo.sdk.errors import Unavailable

CONNECT_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS for both ends; `name` is what the worker's certificate must hold, "": anything its authority signed."""

    worker: ssl.SSLContext
    caller: ssl.SSLContext
    name: str = ""


class TcpServing(FrameServing):
    """A handler behind a listening socket."""

    _server: asyncio.Server | None = None

    async def start_listening(self, host: str, port: int, advertise: str, tls: Tls | None) -> None:
        """Start to listen. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: WorkerConnection(self),
            host,
            port,
            backlog=512,
            ssl=tls.worker if tls else None,
            ssl_handshake_timeout=CONNECT_SECONDS if tls else None,
        )
        bound = self._server.sockets[0].getsockname()
        name = advertise or bound[0]
        scheme = "tls" if tls else "tcp"
        self.address = f"{scheme}://[{name}]:{bound[1]}" if ":" in name else f"{scheme}://{name}:{bound[1]}"

    async def stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            await asyncio.sleep(0)


class TcpTransport(FrameCalls):
    """Requests and answers on direct TCP. `token` is the graph's; `host` and `port` are where a worker listens (0: any
    free port), `advertise` is the name that callers use where it is another.
    """

    def __init__(
        self, token: str = "", host: str = "127.0.0.1", advertise: str = "", port: int = 0, tls: Tls | None = None
    ) -> None:
        super().__init__(token)
        self._host = host
        self._advertise = advertise
        self._port = port
        self._tls = tls

    async def serve(self, handler: Handler) -> TcpServing:
        serving = TcpServing(handler, self._token)
        try:
            await serving.start_listening(self._host, self._port, self._advertise, self._tls)
        except OSError as error:
            where = f"{self._host}:{self._port}" if self._port else self._host
            raise Unavailable(f"cannot listen on {where}: {error.strerror or error}") from error
        self._servings.append(serving)
        return serving

    async def dial(self, address: str) -> CallerConnection:
        scheme, _, place = address.partition("://")
        host, _, port = place.rpartition(":")
        if scheme not in ("tcp", "tls") or not port.isdigit():
            raise OSError("not an address of the TCP request plane (DYN_REQUEST_PLANE differs between processes?)")
        if (scheme == "tls") != (self._tls is not None):
            ours = "is" if self._tls else "is not"
            raise OSError(f"TLS between workers {ours} set up here, and there it is the other way round")
        loop = asyncio.get_running_loop()
        name = host.strip("[]")
        async with asyncio.timeout(CONNECT_SECONDS):
            _, connection = await loop.create_connection(
                lambda: CallerConnection(self._token),
                name,
                int(port),
                ssl=self._tls.caller if self._tls else None,
                server_hostname=(self._tls.name or name) if self._tls else None,
            )
        return connection
