"""Periodic sampling of a running graph, shared by all readers of the page."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from dynamo_build.local.page.measure import Look, Rate, parse, rates

#: Seconds between looks; rates are of the last `_WINDOW` looks.
EVERY = 1.0
_WINDOW = 10
_LINES = 500


class Graph(Protocol):
    """A running graph, seen from outside its processes. Every method raises OSError once the graph has ended."""

    def status(self) -> Mapping[str, Any]:
        """Its workers, as `dynamo status -o json` shows them."""
        ...

    def metrics(self, worker: Mapping[str, Any]) -> str:
        """What a worker counts, in Prometheus' text form."""
        ...

    def logs(self, lines: int) -> Sequence[str]:
        """The last lines that its workers said."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """A value of an engine or a router that has no endpoint, such as the KV hit rate."""

    worker: str
    name: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the page shows; `error` is why there is nothing to show."""

    workers: tuple[Mapping[str, Any], ...] = ()
    rates: tuple[Rate, ...] = ()
    gauges: tuple[Gauge, ...] = ()
    logs: tuple[str, ...] = ()
    error: str = ""


class Watch:
    """Looks from a thread of its own between `start` and `stop`."""

    def __init__(self, graph: Graph, clock: Callable[[], float] = time.monotonic) -> None:
        self._graph = graph
        self._clock = clock
        self._looks: deque[tuple[Look, ...]] = deque(maxlen=_WINDOW)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._turns, name="watch", daemon=True)
        self.state = State(error="not looked yet")

    def start(self) -> None:
        """Look once, then go on in the background."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stopping.set()
        self._thread.join(timeout=10)

    def look(self) -> None:
        """Look once. A worker that does not answer is shown without numbers."""
        try:
            workers = tuple(self._graph.status()["workers"])
            lines = tuple(self._graph.logs(_LINES))
        except OSError as error:
            self.state = State(error=f"it does not answer: {(error.strerror or str(error)).lower()}")
            self._looks.clear()
            return
        with ThreadPoolExecutor(max_workers=16) as pool:
            found = [look for look in pool.map(self._at, workers) if look is not None]
        self._looks.append(tuple(found))
        gauges = tuple(
            Gauge(worker=look.worker, name=_shown(name, labels), value=value)
            for look in found
            for (name, labels), value in look.values.items()
            if not name.startswith("dynamo_request") and "le" not in dict(labels)
        )
        self.state = State(workers=workers, rates=rates(self._looks[0], found), gauges=gauges, logs=lines)

    def _at(self, worker: Mapping[str, Any]) -> Look | None:
        try:
            text = self._graph.metrics(worker)
        except OSError:
            return None
        return Look(worker=str(worker["worker"]), pid=int(worker["pid"]), seconds=self._clock(), values=parse(text))

    def _turns(self) -> None:
        while not self._stopping.wait(EVERY):
            self.look()


def _shown(name: str, labels: tuple[tuple[str, str], ...]) -> str:
    said = ", ".join(f"{key}={value}" for key, value in labels if key not in ("service", "worker"))
    return f"{name} {{{said}}}" if said else name
