"""uvicorn, run inside a worker: its loop, its signals and its sockets are the worker's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from dynamo.http.app import StreamBroken
from dynamo.http.protocol import BoundedProtocol

KEPT_SECONDS = 75
"""How long a connection is kept for another request: longer than proxies in front keep theirs."""
LINGER_SECONDS = 1.0
"""How long a kept connection may take to bring its next request while the server ends."""


class _Quiet(logging.Filter):
    """Drops uvicorn's traceback of streams that we broke off on purpose."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], StreamBroken))


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """An ASGI application behind a listening socket."""

    def __init__(self, app: Callable[..., Any], listening: socket.socket, drain: float) -> None:
        self._socket = listening
        self._drain = drain
        logger = logging.getLogger("uvicorn.error")
        logger.setLevel(logging.WARNING)
        if not any(isinstance(item, _Quiet) for item in logger.filters):
            logger.addFilter(_Quiet())
        config = uvicorn.Config(
            app,
            loop="none",
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEPT_SECONDS,
            timeout_graceful_shutdown=max(1, round(drain)),
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start to answer."""
        self._task = asyncio.ensure_future(self._server.serve(sockets=[self._socket]))
        ready = asyncio.ensure_future(self._server.ready.wait())
        await asyncio.wait((self._task, ready), return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            await self._task

    async def stop(self) -> None:
        """Take no more connections, let running answers end within the drain time, close.

        A kept connection is closed after its next answer, which says so: a request that is on its way is not lost.
        Those on which nothing comes for a moment are closed then.
        """
        if self._task is None:
            return
        for listening in self._server.servers:
            listening.close()
        state, last = self._server.server_state, (b"connection", b"close")
        self._server.config.encoded_headers.append(last)
        state.default_headers.append(last)  # the list of answers that are under way
        until = time.monotonic() + LINGER_SECONDS
        while any(_is_idle(connection) for connection in state.connections) and time.monotonic() < until:
            await asyncio.sleep(0.02)
        self._server.should_exit = True
        await self._task
        self._task = None


def _is_idle(connection: Any) -> bool:
    cycle = getattr(connection, "cycle", None)
    return cycle is None or bool(cycle.response_complete)


def open_listener(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError, also for a port that is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(2048)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening
