"""Commands of the supervisor's control socket: status, logs, rolling restart, reload, number of workers."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Protocol
from urllib.parse import urlsplit

from dynamo.process import gpus
from dynamo.process.control_socket import Conversation
from dynamo.process.logs import Journal, Line
from dynamo.process.placement import Lineup
from dynamo.process.rolling_restart import Replacing
from dynamo.process.worker_process import Slot, format_address
from dynamo.sdk import codec
from dynamo.sdk.graph import ServiceGraph


class Telling:
    """Says things both in the journal and to the one who asked."""

    def __init__(self, journal: Journal, to: Conversation) -> None:
        self._journal = journal
        self._to = to
        self.end = to.end

    def send_line(self, text: str) -> None:
        """One line."""
        self._journal.write_line(text)
        self._to.send_line(text)


class Supervising(Protocol):
    """What of a supervisor is asked about, and set."""

    slots: list[Slot]
    leaving: list[Slot]
    journal: Journal
    lineup: Lineup
    replacing: tuple[Replacing, Telling] | None
    reload: Telling | None

    def start_worker(self, slot: Slot) -> None:
        """Start a worker there."""


class Answering:
    """Answers for one supervisor."""

    def __init__(self, supervisor: Supervising) -> None:
        self._supervisor = supervisor

    def answer_request(self, request: Mapping[str, Any], to: Conversation) -> None:
        """Do what somebody at the control socket asks for."""
        wanted, service = request.get("do"), str(request.get("service", ""))
        if (
            wanted not in ("status", "graph")
            and service
            and service not in {slot.service for slot in self._supervisor.slots}
        ):
            to.send_line(f"error: no service `{service}` runs here")
            to.end()
        elif wanted == "status":
            to.send_line(json.dumps(self.build_status()))
            to.end()
        elif wanted == "graph":
            to.send_line(codec.encode_canonical(self._supervisor.lineup.graph).decode())
            to.end()
        elif wanted == "logs":
            self._send_lines(request, service, to)
        elif wanted == "restart" and self._supervisor.replacing is None:
            chosen = [slot for slot in self._supervisor.slots if service in ("", slot.service)]
            telling = Telling(self._supervisor.journal, to)
            replacing = Replacing(chosen, self._supervisor.start_worker, telling.send_line, self._supervisor.leaving)
            self._supervisor.replacing = replacing, telling
        elif wanted == "scale" and self._supervisor.replacing is None:
            self._scale_service(service, request.get("workers"), to)
        elif wanted == "reload" and self._supervisor.reload is None:
            self._supervisor.reload = Telling(self._supervisor.journal, to)
        else:
            busy = wanted in ("restart", "reload", "scale")
            to.send_line("error: the graph is being restarted" if busy else "error: unknown command")
            to.end()

    def _scale_service(self, service: str, workers: object, to: Conversation) -> None:
        supervisor, telling = self._supervisor, Telling(self._supervisor.journal, to)
        lineup = supervisor.lineup
        telling.send_line(
            scale_service(supervisor.slots, supervisor.leaving, lineup.graph, service, workers, lineup.create_slot)
        )
        to.end()

    def build_status(self) -> dict[str, Any]:
        """What runs, as `dynamo status` shows it."""
        workers = [
            {
                "worker": slot.label,
                "service": slot.service,
                "state": slot.state,
                "pid": slot.pid,
                "restarts": max(0, slot.starts - 1),
                "seconds": round(time.monotonic() - slot.started, 1) if slot.pid else 0.0,
                "http": f"http://{format_address(slot.http)}" if slot.http else "",
                "pages": f"http://{format_address(slot.system)}" if slot.system else "",
                "devices": slot.environment.get(gpus.VISIBLE, ""),
            }
            for slot in self._supervisor.slots
        ]
        return {
            "graph": self._supervisor.lineup.graph.target,
            "pid": os.getpid(),
            "nats": urlsplit(os.environ["NATS_SERVER"]).netloc.rpartition("@")[2],
            "workers": workers,
        }

    def _send_lines(self, request: Mapping[str, Any], service: str, to: Conversation) -> None:
        lines = [line for line in self._supervisor.journal.lines if service in ("", line.service)]
        tail = request.get("tail")
        for line in lines[-tail:] if isinstance(tail, int) and tail > 0 else lines:
            to.send_line(line.text)
        if not request.get("follow"):
            to.end()
            return

        def follow(line: Line) -> None:
            if service in ("", line.service):
                to.send_line(line.text)

        self._supervisor.journal.followers.append(follow)
        to.on_close = lambda: self._supervisor.journal.followers.remove(follow)
        if to.closed:
            to.on_close()


MOST_WORKERS = 256
DRAIN_SECONDS = 25.0


def scale_service(
    slots: list[Slot],
    leaving: list[Slot],
    graph: ServiceGraph,
    service: str,
    workers: object,
    place: Callable[[str, int, Mapping[str, str]], Slot],
) -> str:
    """Have that many workers of a service: `slots` gets new ones from `place`, and gives the last ones to `leaving`,
    which are told to end when their requests are. What is to be said about it; an `error: …` when nothing is changed.
    """
    if type(workers) is not int or not 1 <= workers <= MOST_WORKERS:
        return f"error: {workers!r} is not a valid number of workers; give 1 to {MOST_WORKERS}"
    own = [slot for slot in slots if slot.service == service]
    if not own:
        return f"error: no service `{service}` runs here"
    if workers > len(own) and own[0].http is not None:
        return f"error: `{service}` has HTTP routes; its workers are set when it starts"
    taken = {slot.number for slot in own}
    free = (number for number in range(1, MOST_WORKERS + len(own) + 1) if number not in taken)
    fresh: list[Slot] = []
    for number in (next(free) for _ in range(workers - len(own))):
        environment = _assign_devices(graph, service, [*slots, *leaving, *fresh])
        if environment is None:
            return f"error: no GPU is left for another `{service}`"
        fresh.append(place(service, number, environment))
    last = max(slots.index(slot) for slot in own)
    slots[last + 1 : last + 1] = fresh
    for slot in own[workers:]:
        slots.remove(slot)
        slot.ending = True
        slot.retry_at = time.monotonic() + DRAIN_SECONDS
        leaving.append(slot)
        slot.send_signal(signal.SIGTERM)
    return f"`{service}` has {workers} worker{'s' if workers > 1 else ''}, {len(own)} before"


def _assign_devices(graph: ServiceGraph, service: str, slots: Sequence[Slot]) -> Mapping[str, str] | None:
    """The variables of one more worker; None when what it needs is not free."""
    amounts = {spec.name: Fraction(spec.resources.gpu or "0") for spec in graph.services}
    like = next((slot.environment for slot in slots if slot.service == service), {})
    if gpus.VISIBLE not in like:
        return {}
    left = dict.fromkeys(gpus.select_visible(gpus.list_devices(), os.environ), Fraction(1))
    for slot in slots:
        for name in filter(None, slot.environment.get(gpus.VISIBLE, "").split(",")):
            left[name] = left.get(name, Fraction(0)) - min(amounts[slot.service], Fraction(1))
    amount = amounts[service]
    count = max(int(amount), 1)
    fitting = sorted((name for name, free in left.items() if free >= min(amount, Fraction(1))), key=left.__getitem__)
    if len(fitting) < count:
        return None
    return {**like, gpus.VISIBLE: ",".join(fitting[:count])}
