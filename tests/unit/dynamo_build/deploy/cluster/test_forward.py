"""A port of this machine that leads to a pod."""

from __future__ import annotations

import http.server
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynamo_build.deploy.cluster.api_client import Connection
from dynamo_build.deploy.cluster.apply import apply_manifests
from dynamo_build.deploy.cluster.forward import open_forward
from dynamo_build.deploy.targets.k8s import KubernetesTarget
from dynamo_build.errors import DeployError, UsageError
from dynamo_build.events import Event
from dynamo_build.seams import ApplyOptions, Surroundings
from support.cluster import Cluster
from support.deployments import deployment, hello_graph


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body * 2)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def pod() -> Iterator[tuple[str, int]]:
    """What listens in the pod: answers with the body twice."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield "127.0.0.1", server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def deployed(double: Cluster, connection: Connection) -> None:
    """Hello world."""
    manifests = KubernetesTarget(Surroundings()).render(deployment(hello_graph()))
    apply_manifests(
        manifests,
        Surroundings(applying=ApplyOptions(wait=20.0), cache=Path("/nowhere")),
        lambda event: None,
        connection,
    )


def ask(port: int, body: bytes) -> bytes:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", data=body)
    with urllib.request.urlopen(request, timeout=20) as response:
        return bytes(response.read())


def test_bytes_go_there_and_back(double: Cluster, connection: Connection, pod: tuple[str, int]) -> None:
    """Several connections, small and large; without a service to the one that answers HTTP, at its HTTP port."""
    double.listening["hello-world-frontend-1", 8000] = pod
    with open_forward(connection, "demo", "hello-world", "", on=lambda event: None) as made:
        threading.Thread(target=made.serve, daemon=True).start()
        assert made.remote == 8000
        for body in (b"x", b"y" * 200, b"z" * 300_000):
            assert ask(made.port, body) == body * 2


def test_a_service_and_a_port_of_ones_choice(double: Cluster, connection: Connection, pod: tuple[str, int]) -> None:
    """A service without HTTP leads to its system port."""
    double.listening["hello-world-backend-1", 9090] = pod
    with open_forward(connection, "demo", "hello-world", "Backend", on=lambda event: None) as made:
        threading.Thread(target=made.serve, daemon=True).start()
        assert (made.remote, ask(made.port, b"a")) == (9090, b"aa")


def test_what_cannot_be(double: Cluster, connection: Connection) -> None:
    """A service that is not there, a port that is taken, a right that is missing."""
    with (
        pytest.raises(DeployError, match="no pods of Nobody"),
        open_forward(connection, "demo", "hello-world", "Nobody", on=lambda event: None),
    ):
        pass
    said: list[Event] = []
    with open_forward(connection, "demo", "hello-world", "", on=said.append) as made:
        with (
            pytest.raises(UsageError, match=f"port {made.port} cannot be used"),
            open_forward(connection, "demo", "hello-world", "", local=made.port, on=said.append),
        ):
            pass
        threading.Thread(target=made.serve, daemon=True).start()
        double.fail("GET", "portforward", 403, body={"message": "pods is forbidden"})
        with pytest.raises((urllib.error.URLError, ConnectionError, OSError)):
            ask(made.port, b"a")
    assert "Pod/hello-world-frontend-1" in str(said)
