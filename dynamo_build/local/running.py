"""Running graphs of this user on this machine, reached by the control sockets of their supervisors."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dynamo.process import control_socket
from dynamo.sdk import codec, running
from dynamo_build.errors import ServeError

ANSWER_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningWorker:
    """A worker, or the place of one that waits for its next start. `seconds` is how long the process runs."""

    worker: str
    service: str
    state: str
    pid: int
    restarts: int
    seconds: float
    http: str = ""
    pages: str = ""
    devices: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningGraph:
    """A graph by its target, its supervisor's process, its NATS server and its workers."""

    graph: str
    pid: int
    nats: str
    workers: tuple[RunningWorker, ...]


def list_graphs() -> tuple[RunningGraph, ...]:
    """All of them, the one that was started last first."""
    found = []
    for pid in _list_pids():
        with contextlib.suppress(ServeError, ValueError):
            (line,) = ask_supervisor(pid, {"do": "status"})
            found.append(codec.decode_json(RunningGraph, line))
    return tuple(found)


def choose_graph(pid: int = 0) -> RunningGraph:
    """The graph of that supervisor, or the one that was started last. Raises ServeError."""
    every = list_graphs()
    for graph in every:
        if pid in (0, graph.pid):
            return graph
    if every:
        known = ", ".join(f"{graph.pid} ({graph.graph})" for graph in every)
        raise ServeError(f"no graph runs as process {pid}", [f"There are {known}."])
    raise ServeError("no graph of yours runs on this machine", ["Start one: `dynamo serve MODULE:SERVICE`."])


def ask_supervisor(pid: int, request: Mapping[str, Any], *, patience: float | None = ANSWER_SECONDS) -> tuple[str, ...]:
    """All lines of an answer. Raises ServeError."""
    return tuple(stream_lines(pid, request, patience=patience))


def stream_lines(pid: int, request: Mapping[str, Any], *, patience: float | None = ANSWER_SECONDS) -> Iterator[str]:
    """The lines of an answer as they come; between two of them at most `patience` seconds. Raises ServeError."""
    path = running.locate_folder(os.environ) / f"{pid}{running.CONTROL}"
    try:
        with control_socket.connect_control(path) as connection:
            connection.settimeout(patience)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile(encoding="utf-8", errors="replace") as answer:
                for line in answer:
                    if line.startswith("error: "):
                        raise ServeError(line.removeprefix("error: ").rstrip("\n"))
                    yield line.rstrip("\n")
    except OSError as error:
        raise ServeError(
            f"the graph of process {pid} does not answer: {(error.strerror or str(error)).lower()}"
        ) from error


def _list_pids() -> list[int]:
    return [int(path.stem) for path in running.list_files(os.environ, running.CONTROL) if path.stem.isdigit()]
