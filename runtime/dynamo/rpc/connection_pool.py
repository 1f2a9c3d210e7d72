"""Connections shared by the calls of transports on frames: one connection for each address, used by all calls to it."""

from __future__ import annotations

import asyncio

from dynamo.rpc.client_connection import CallerConnection
from dynamo.rpc.server_connection import FrameServing
from dynamo.rpc.transport import Exchange
from dynamo.rpc.wire import Request
from dynamo.sdk.errors import Unavailable


class FrameCalls:
    """Connections by address; `dial` makes one. What this process serves itself is closed with them."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._connections: dict[str, CallerConnection] = {}
        self._dialling: dict[str, asyncio.Future[CallerConnection]] = {}
        self._servings: list[FrameServing] = []

    def begin(self, address: str, request: Request) -> Exchange | None:
        connection = self._connections.get(address)
        if connection is None or connection.failure is not None or connection.paused:
            return None
        return connection.start_request(request)

    async def request(self, address: str, request: Request) -> Exchange:
        connection = self._connections.get(address)
        if connection is None or connection.failure is not None:
            connection = await self._get_connection(address)
        if connection.paused:
            await connection.wait_writable()
        return connection.start_request(request)

    async def _get_connection(self, address: str) -> CallerConnection:
        dialling = self._dialling.get(address)
        if dialling is None:
            dialling = self._dialling[address] = asyncio.ensure_future(self._open_connection(address))
            dialling.add_done_callback(lambda _: self._dialling.pop(address, None))
        try:
            return await asyncio.shield(dialling)
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"cannot reach {address}: {error or 'no answer'}") from error

    async def _open_connection(self, address: str) -> CallerConnection:
        for other in [name for name, known in self._connections.items() if known.failure is not None]:
            del self._connections[other]
        connection = self._connections[address] = await self.dial(address)
        return connection

    async def dial(self, address: str) -> CallerConnection:
        """A connection to the address. Raises OSError and RemoteError."""
        raise NotImplementedError

    async def close(self) -> None:
        for dialling in list(self._dialling.values()):
            dialling.cancel()
        connections = list(self._connections.values())
        self._connections.clear()
        for connection in connections:
            connection.close()
            connection.on_closed("this end was closed")
        await asyncio.gather(*(connection.wait_closed() for connection in connections))
        for serving in self._servings:
            await serving.drain(0)
        self._servings.clear()
