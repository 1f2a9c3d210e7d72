"""A port of this machine that leads to a pod of a deployment, through the API server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from dynamo_build.deploy.cluster.api_client import Connection
from dynamo_build.deploy.cluster.logs import list_pods
from dynamo_build.errors import DeployError, UsageError
from dynamo_build.events import Listener, Warned

_HOST = "127.0.0.1"
_CHUNK = 65536


class Forward:
    """Takes connections on loopback and carries each to a pod that is ready then; see `forward`."""

    def __init__(
        self, connection: Connection, place: tuple[str, str, str], remote: int, local: int, on: Listener
    ) -> None:
        self._connection = connection
        self._namespace, self._name, self._service = place
        self._on = on
        self.remote = remote or self._find_default_port()
        try:
            self._listening = socket.create_server((_HOST, local))
        except OSError as error:
            hint = "Choose another --port, or 0 for any that is free."
            raise UsageError(f"port {local} cannot be used: {error.strerror}", [hint]) from error
        self.port = int(self._listening.getsockname()[1])

    def serve(self) -> None:
        """Carry connections until the listening socket is closed."""
        with suppress(OSError):
            while True:
                taken, _ = self._listening.accept()
                threading.Thread(target=self._carry_connection, args=(taken,), daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _carry_connection(self, taken: socket.socket) -> None:
        try:
            far = self._connection.open_tunnel(
                self._namespace, str(self._choose_pod()["metadata"]["name"]), self.remote
            )
        except DeployError as error:
            self._on(Warned(text=error.message))
            taken.close()
            return
        back = threading.Thread(target=_copy_bytes, args=(far, taken), daemon=True)
        back.start()
        _copy_bytes(taken, far)
        back.join()
        far.close()
        taken.close()

    def _choose_pod(self) -> Mapping[str, Any]:
        services = (self._service,) if self._service else ()
        found = list(list_pods(self._connection, self._namespace, self._name, services))
        if not self._service:
            found = [pod for pod in found if "http" in _list_ports(pod)] or found
        if not found:
            hint = f"See `dynamo deployment status {self._name} -n {self._namespace}`."
            raise DeployError(
                f"the deployment {self._name} has no pods" + f" of {self._service}" * bool(services), [hint]
            )
        return next((pod for pod in found if _is_ready(pod)), found[0])

    def _find_default_port(self) -> int:
        ports = _list_ports(self._choose_pod())
        return ports.get("http") or ports.get("system") or min(ports.values(), default=8000)


def _list_ports(pod: Mapping[str, Any]) -> dict[str, int]:
    containers = (pod.get("spec") or {}).get("containers") or ()
    return {
        port["name"]: port["containerPort"] for one in containers for port in one.get("ports") or () if "name" in port
    }


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _copy_bytes(source: Any, sink: Any) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def open_forward(
    connection: Connection, namespace: str, name: str, service: str, *, remote: int = 0, local: int = 0, on: Listener
) -> Iterator[Forward]:
    """A forward that listens; `serve` carries. Without a service it leads to the one that answers HTTP.

    Raises UsageError for a port that is taken, and DeployError without a pod.
    """
    made = Forward(connection, (namespace, name, service), remote, local, on)
    try:
        yield made
    finally:
        made.close()
