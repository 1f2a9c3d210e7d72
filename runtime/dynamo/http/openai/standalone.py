"""The service as a process of its own: `python -m dynamo.http.openai`, which `dynamo http` starts."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence

import uvloop

from dynamo.coordination import session_file
from dynamo.http.http_server import HttpServer, open_listener
from dynamo.http.openai.access import Access
from dynamo.http.openai.models import ModelRegistry
from dynamo.http.openai.service import OpenAIService
from dynamo.rpc.runtime import DistributedRuntime, connect
from dynamo.sdk.errors import EXIT_FAILED, RemoteError, Unavailable

logger = logging.getLogger("dynamo.openai")
DRAIN_SECONDS = 20.0
LOOK_SECONDS = 1.0


class Graph:
    """The graph that runs now. It may start after this process, end, and be another one later."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._runtime: DistributedRuntime | None = None
        self._session: session_file.Session | None = None
        self.registry: ModelRegistry | None = None

    async def follow_graph(self) -> None:
        """Connect, and again when another graph took the place of this one. Raises RemoteError when not let in."""
        while True:
            fixed = bool(self._environment.get("NATS_SERVER"))
            found = None if fixed else session_file.find_newest_session(self._environment)
            if self._runtime is None or (not fixed and found is not None and found != self._session):
                await self.close()
                try:
                    self._runtime = await connect(self._environment, LOOK_SECONDS)
                    self.registry = ModelRegistry(self._runtime)
                    self._session = found
                    logger.info("connected to the graph")
                except Unavailable as error:
                    logger.debug("no graph yet: %s", error.message)
            await asyncio.sleep(LOOK_SECONDS)

    async def close(self) -> None:
        """Let go of the graph."""
        self.registry = None
        if self._runtime is not None:
            runtime, self._runtime = self._runtime, None
            await runtime.close()


async def run_server(listening: socket.socket, environment: Mapping[str, str], timeout: float) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Raises RemoteError when the graph does not let us in."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    graph = Graph(environment)
    service = OpenAIService(lambda: graph.registry, Access.from_environment(environment), timeout)
    server = HttpServer(service, listening, DRAIN_SECONDS)
    await server.start()
    following = asyncio.ensure_future(graph.follow_graph())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((following, stopping), return_when=asyncio.FIRST_COMPLETED)
        service.health.draining = True
        if following.done():
            await following
    finally:
        for task in (following, stopping):
            task.cancel()
        await asyncio.gather(following, stopping, return_exceptions=True)
        await server.stop()
        await graph.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 17 when it cannot serve."""
    parser = argparse.ArgumentParser(prog="python -m dynamo.http.openai", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", "-p", type=int, default=8080)
    parser.add_argument("--timeout", type=float, default=0.0, help="seconds for one request; 0: any time")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=os.environ.get("DYN_LOG", "info").upper(), format="%(levelname)s %(name)s: %(message)s")
    try:
        listening = open_listener(options.host, options.port)
    except (OSError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        sys.stderr.write(f"error: cannot listen on {options.host}:{options.port}: {reason}\n")
        return EXIT_FAILED
    host, port = listening.getsockname()[:2]
    sys.stderr.write(f"serving OpenAI's API on http://{f'[{host}]' if ':' in host else host}:{port}/v1\n")
    sys.stderr.flush()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, contextlib.suppress(KeyboardInterrupt):
            runner.run(run_server(listening, os.environ, options.timeout))
    except RemoteError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return EXIT_FAILED
    return 0
