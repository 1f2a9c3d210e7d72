"""Connections: what may be plain, and what failures look like."""

from __future__ import annotations

import socket
import threading

import pytest

from dynamo_build.errors import RegistryError
from dynamo_build.registries.http.connection import Connections
from dynamo_build.registries.http.route import is_loopback


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1:5000", True), ("localhost", True), ("[::1]:5000", True), ("127.8.8.8", True), ("10.0.0.1:5000", False),
     ("localhost.example.com", False), ("127.0.0.1.example.com", False), ("registry.example", False)],
)  # fmt: skip
def test_what_is_loopback(host: str, loopback: bool) -> None:
    """Only this machine, by address or by the one name."""
    assert is_loopback(host) is loopback


def test_plain_http_is_for_loopback_and_what_was_allowed() -> None:
    """Elsewhere it is refused before anything is sent."""
    with pytest.raises(RegistryError, match="plain HTTP") as refused:
        Connections().send_request("GET", "http://10.255.255.1:5000/v2/", {})
    assert refused.value.hints == ("Give it TLS, or allow it with `--insecure 10.255.255.1:5000`.",)
    assert Connections(insecure=("registry.example:5000",)).allows_plain_http("registry.example:5000")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http:///x", "file:///etc/passwd"])
def test_other_schemes_are_refused(url: str) -> None:
    """A registry cannot send us to a file."""
    with pytest.raises(RegistryError, match="not an address of a registry"):
        Connections().send_request("GET", url, {})


@pytest.mark.parametrize(("said", "message"), [(b"", "closed the connection"), (b"garbage\r\n\r\n", "failed")])
def test_a_server_that_speaks_no_http(said: bytes, message: str) -> None:
    """A cut or garbage is a temporary failure of one line."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(said)
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(RegistryError, match=message) as failed:
            Connections().send_request("GET", f"http://127.0.0.1:{server.getsockname()[1]}/v2/", {})
        thread.join()
    assert failed.value.temporary


def test_endless_answers_are_cut() -> None:
    """A document beyond the limit is not read to its end."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(1000)
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * (9 << 20))
            except OSError:
                pass
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(RegistryError, match="more than 8 MiB"):
            Connections().send_request("GET", f"http://127.0.0.1:{server.getsockname()[1]}/v2/", {})
        thread.join()
