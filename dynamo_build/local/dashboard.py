"""The dashboard of a running graph: a small server in front of the control socket and the workers' metrics."""

from __future__ import annotations

import contextlib
import http.client
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dynamo.sdk import codec
from dynamo.sdk.graph import ServiceGraph
from dynamo_build.errors import DynamoError, ServeError
from dynamo_build.events import DashboardStarted, Listener
from dynamo_build.graph.drawing import Notes
from dynamo_build.local import running
from dynamo_build.local.page.measure import Rate
from dynamo_build.local.page.server import Server, render_page
from dynamo_build.local.page.watch import EVERY, Watch

_SECONDS = 2.0


class Door:
    """One running graph, queried by its control socket and its workers' metrics."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def read_graph(self) -> ServiceGraph:
        """What runs. Raises ServeError."""
        (line,) = running.ask_supervisor(self._pid, {"do": "graph"})
        return codec.decode_json(ServiceGraph, line)

    def read_status(self) -> Mapping[str, Any]:
        """The workers. Raises OSError."""
        with _wrap_serve_error():
            (line,) = running.ask_supervisor(self._pid, {"do": "status"})
        found: Mapping[str, Any] = codec.to_plain(codec.decode_json(running.RunningGraph, line))
        return found

    def read_logs(self, lines: int) -> Sequence[str]:
        """The last lines of all workers. Raises OSError."""
        with _wrap_serve_error():
            return running.ask_supervisor(self._pid, {"do": "logs", "tail": lines})

    def read_metrics(self, worker: Mapping[str, Any]) -> str:
        """What a worker counts. Raises OSError, also for a worker without pages."""
        address = worker["pages"] or worker["http"]
        if not address:
            raise ConnectionRefusedError("it has no pages")
        parts = urlsplit(str(address))
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_SECONDS)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode(errors="replace")
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()


def observe_graph(pid: int = 0, seconds: float = EVERY) -> tuple[ServiceGraph, Notes]:
    """A running graph, and how each of its services does: what is ready, and rates over a moment. Raises ServeError."""
    door = Door(running.choose_graph(pid).pid)
    watch = Watch(door)
    watch.poll_graph()
    time.sleep(seconds)
    watch.poll_graph()
    if watch.state.error:
        raise ServeError(f"the graph went away: {watch.state.error}")
    notes = {}
    for name in dict.fromkeys(str(worker["service"]) for worker in watch.state.workers):
        own = [worker for worker in watch.state.workers if worker["service"] == name]
        rates = [rate for rate in watch.state.rates if rate.service == name]
        ready = sum(worker["state"] == "ready" for worker in own)
        lines = [f"{ready} of {len(own)} ready"]
        if restarts := sum(int(worker["restarts"]) for worker in own):
            lines.append(f"{restarts} restarts")
        lines += [f"{rate.endpoint} {rate.requests:.1f}/s" + _format_latency(rate) for rate in rates]
        notes[name] = tuple(lines)
    return door.read_graph(), notes


def _format_latency(rate: Rate) -> str:
    return f" p90 {rate.p90 * 1000:.3g} ms" if rate.p90 is not None else ""


@contextlib.contextmanager
def serve_dashboard(pid: int, host: str, port: int) -> Iterator[str]:
    """The address of a page that shows the graph of that supervisor. Raises ServeError and UsageError."""
    door = Door(pid)
    watch = Watch(door)
    server = Server(host, port, *render_page(door.read_graph()), watch)
    watch.start()
    server.start()
    try:
        yield server.address
    finally:
        server.stop()
        watch.stop()


@contextlib.contextmanager
def serve_when_running(on: Listener) -> Iterator[None]:
    """Show the graph that this process starts, from the moment it runs, on a free port of loopback.

    The address is reported as `DashboardStarted`.
    """
    ended = threading.Event()

    def wait() -> None:
        while not ended.is_set():
            mine = [graph.pid for graph in running.list_graphs() if _read_parent_pid(graph.pid) == os.getpid()]
            if mine:
                with contextlib.suppress(DynamoError), serve_dashboard(mine[0], "127.0.0.1", 0) as address:
                    on(DashboardStarted(address=address))
                    ended.wait()
                return
            ended.wait(0.1)

    thread = threading.Thread(target=wait, name="dashboard", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=5)


def wait_for_end(pid: int) -> None:
    """Return when that supervisor has ended."""
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.5)


def _read_parent_pid(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


@contextlib.contextmanager
def _wrap_serve_error() -> Iterator[None]:
    try:
        yield
    except ServeError as error:
        raise ConnectionError(error.message) from error
