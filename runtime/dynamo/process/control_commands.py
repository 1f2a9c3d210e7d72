"""What a supervisor answers at its door: what runs, what was said, a rolling restart, a reload."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from dynamo.process import gpus
from dynamo.process.control_socket import Conversation
from dynamo.process.logs import Journal, Line
from dynamo.process.placement import Lineup
from dynamo.process.rolling_restart import Replacing
from dynamo.process.scaling import scaled
from dynamo.process.worker_process import Slot, address
from dynamo.sdk import codec


class Telling:
    """Says things both in the journal and to the one who asked."""

    def __init__(self, journal: Journal, to: Conversation) -> None:
        self._journal = journal
        self._to = to
        self.end = to.end

    def say(self, text: str) -> None:
        """One line."""
        self._journal.say(text)
        self._to.say(text)


class Supervising(Protocol):
    """What of a supervisor is asked about, and set."""

    slots: list[Slot]
    leaving: list[Slot]
    journal: Journal
    lineup: Lineup
    replacing: tuple[Replacing, Telling] | None
    reload: Telling | None

    def start(self, slot: Slot) -> None:
        """Start a worker there."""


class Answering:
    """Answers for one supervisor."""

    def __init__(self, supervisor: Supervising) -> None:
        self._supervisor = supervisor

    def heed(self, request: Mapping[str, Any], to: Conversation) -> None:
        """Do what somebody at the control socket asks for."""
        wanted, service = request.get("do"), str(request.get("service", ""))
        if (
            wanted not in ("status", "graph")
            and service
            and service not in {slot.service for slot in self._supervisor.slots}
        ):
            to.say(f"error: no service `{service}` runs here")
            to.end()
        elif wanted == "status":
            to.say(json.dumps(self.status()))
            to.end()
        elif wanted == "graph":
            to.say(codec.canonical(self._supervisor.lineup.graph).decode())
            to.end()
        elif wanted == "logs":
            self._tell_lines(request, service, to)
        elif wanted == "restart" and self._supervisor.replacing is None:
            chosen = [slot for slot in self._supervisor.slots if service in ("", slot.service)]
            telling = Telling(self._supervisor.journal, to)
            replacing = Replacing(chosen, self._supervisor.start, telling.say, self._supervisor.leaving)
            self._supervisor.replacing = replacing, telling
        elif wanted == "scale" and self._supervisor.replacing is None:
            self._scale(service, request.get("workers"), to)
        elif wanted == "reload" and self._supervisor.reload is None:
            self._supervisor.reload = Telling(self._supervisor.journal, to)
        else:
            busy = wanted in ("restart", "reload", "scale")
            to.say("error: the graph is being restarted" if busy else "error: what?")
            to.end()

    def _scale(self, service: str, workers: object, to: Conversation) -> None:
        supervisor, telling = self._supervisor, Telling(self._supervisor.journal, to)
        lineup = supervisor.lineup
        telling.say(scaled(supervisor.slots, supervisor.leaving, lineup.graph, service, workers, lineup.place))
        to.end()

    def status(self) -> dict[str, Any]:
        """What runs, as `dynamo status` shows it."""
        workers = [
            {
                "worker": slot.label,
                "service": slot.service,
                "state": slot.state,
                "pid": slot.pid,
                "restarts": max(0, slot.starts - 1),
                "seconds": round(time.monotonic() - slot.started, 1) if slot.pid else 0.0,
                "http": f"http://{address(slot.http)}" if slot.http else "",
                "pages": f"http://{address(slot.system)}" if slot.system else "",
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

    def _tell_lines(self, request: Mapping[str, Any], service: str, to: Conversation) -> None:
        lines = [line for line in self._supervisor.journal.lines if service in ("", line.service)]
        tail = request.get("tail")
        for line in lines[-tail:] if isinstance(tail, int) and tail > 0 else lines:
            to.say(line.text)
        if not request.get("follow"):
            to.end()
            return

        def follow(line: Line) -> None:
            if service in ("", line.service):
                to.say(line.text)

        self._supervisor.journal.followers.append(follow)
        to.on_close = lambda: self._supervisor.journal.followers.remove(follow)
        if to.closed:
            to.on_close()
