"""The workers that a graph has here: which services, how many of each, where they listen, and which GPUs they get."""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Mapping

from dynamo.process import gpus
from dynamo.process.fatal import Verdict
from dynamo.process.logs import Journal
from dynamo.process.worker_process import Slot
from dynamo.sdk.graph import ServiceGraph, ServiceSpec


class Lineup:
    """Makes the places for workers. `graph` is the one that was read last, `elsewhere` where other services run."""

    graph: ServiceGraph

    def __init__(self, options: argparse.Namespace, journal: Journal) -> None:
        self._options = options
        self._journal = journal
        self.elsewhere = dict(item.partition("=")[::2] for item in options.depends)
        self.sockets: dict[tuple[str, str], socket.socket] = {}

    def create_slots(self) -> list[Slot]:
        """A place for every worker of the graph as it is now; sockets that are bound stay. Raises Verdict."""
        from dynamo.process import run_service

        try:
            self.graph, _ = run_service.read_bento(os.environ)
        except run_service.StartError as error:
            raise Verdict(str(error)) from error
        chosen = self._select_services()
        front = next((service for service in reversed(chosen) if service.http), None)
        labels = {
            (service.name, number): f"{service.name}:{number}" if service.workers > 1 else service.name
            for service in chosen
            for number in range(1, service.workers + 1)
        }
        width = max(map(len, labels.values()))
        places = gpus.allocate_gpus(chosen, os.environ, lambda text: self._journal.write_line(f"warning: {text}"))
        slots = []
        for service in chosen:
            port = self._options.port if service is front else 0
            listening = self._get_socket("http", service.name, self._options.host, port) if service.http else None
            for number in range(1, service.workers + 1):
                label = labels[service.name, number]
                colour = self.graph.names.index(service.name)
                slot = Slot(
                    service=service.name,
                    number=number,
                    label=label,
                    show=self._journal.create_printer(label, service.name, width, colour),
                    http=listening,
                    environment=places.get((service.name, number), {}),
                )
                slot.system = self._open_pages_socket(label, service is chosen[-1] and number == 1)
                slots.append(slot)
        return slots

    def create_slot(self, service: str, number: int, environment: Mapping[str, str]) -> Slot:
        """A place for one more worker of a service without HTTP routes."""
        label = f"{service}:{number}"
        colour = self.graph.names.index(service)
        show = self._journal.create_printer(label, service, len(label), colour)
        slot = Slot(service=service, number=number, label=label, show=show, environment=environment)
        slot.system = self._open_pages_socket(label, False)
        return slot

    def _select_services(self) -> list[ServiceSpec]:
        only = self._options.service_name
        for name in (only, *self.elsewhere):
            if name and name not in self.graph.names:
                raise Verdict(f"the graph has no service `{name}`; it has {', '.join(self.graph.names)}")
        if only:
            return [self.graph.service(only)]
        chosen = [service for service in self.graph.services if service.name not in self.elsewhere]
        if not chosen:
            raise Verdict("no service is left to run here", ["Name fewer with --depends."])
        return chosen

    def _open_pages_socket(self, label: str, first: bool) -> socket.socket | None:
        """Where a worker's health pages are: the entry's first worker has the port that was asked for."""
        port = self._options.system_port
        if not port.isdigit():
            raise Verdict(f"DYNAMO_SYSTEM_PORT is `{port}`, not a port")
        if first and int(port):
            return self._get_socket("pages", label, self._options.system_host, int(port))
        return self._get_socket("pages", label, "127.0.0.1", 0) if self._options.pages else None

    def _get_socket(self, kind: str, name: str, host: str, port: int) -> socket.socket:
        if (kind, name) not in self.sockets:
            self.sockets[kind, name] = self._open_socket(host, port)
        return self.sockets[kind, name]

    def _open_socket(self, host: str, port: int) -> socket.socket:
        from dynamo.http.http_server import open_listener

        try:
            return open_listener(host, port)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            hint = "Choose another with --port, or --port 0 for a free one."
            raise Verdict(f"cannot listen on {host}:{port}: {reason.lower()}", [hint]) from error
