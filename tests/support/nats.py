"""A real nats-server on a free port, for tests."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path


def binary() -> str:
    """The server's program, from the environment of these tests or from PATH; "" when there is none."""
    beside = Path(sys.executable).parent / "nats-server"
    return str(beside) if beside.exists() else shutil.which("nats-server") or ""


class NatsServer:
    """One server with JetStream; it can be stopped and started again on its port."""

    def __init__(
        self,
        folder: Path,
        token: str = "",
        settings: Sequence[str] = (),
        on: tuple[str, ...] = (),
        host: str = "",
        jetstream: str = "",
        store: Path | None = None,
    ) -> None:
        self.folder = folder
        self.jetstream = jetstream
        self.store = store or folder / "store"
        self.token = token
        self.settings = settings
        self.on = on
        self.host = host or "127.0.0.1"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://{self.host}:{self.port}"

    def start(self) -> None:
        config = [
            f"host: {self.host}",
            f"port: {self.port or -1}",
            f'ports_file_dir: "{self.folder}"',
            f'jetstream {{\nstore_dir: "{self.store}"\n{self.jetstream}\n}}',
        ]
        if self.token:
            config.append(f'authorization {{ token: "{self.token}" }}')
        config += self.settings
        path = self.folder / "nats.conf"
        path.write_text("\n".join(config))
        self.process = subprocess.Popen([*self.on, binary(), "-c", str(path)], stderr=subprocess.DEVNULL)
        # `ip netns exec` becomes the program that it runs, so the number is the server's.
        ports = self.folder / f"nats-server_{self.process.pid}.ports"
        until = time.monotonic() + 10
        while time.monotonic() < until and self.process.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                self.port = int(json.loads(ports.read_text())["nats"][0].rpartition(":")[2])
                return
            time.sleep(0.01)
        raise RuntimeError("nats-server did not start")

    def stop(self, kill: bool = False) -> None:
        if self.process is not None:
            self.process.kill() if kill else self.process.terminate()
            self.process.wait(10)
            self.process = None


@contextlib.contextmanager
def nats_server(
    token: str = "",
    settings: Sequence[str] = (),
    on: tuple[str, ...] = (),
    host: str = "",
    jetstream: str = "",
    store: Path | None = None,
) -> Iterator[NatsServer]:
    """A server for the length of a block.

    `settings` are lines of its configuration, `jetstream` some of that part, `on` begins its command line.
    """
    with tempfile.TemporaryDirectory() as folder:
        server = NatsServer(Path(folder), token, settings, on, host, jetstream, store)
        server.start()
        try:
            yield server
        finally:
            server.stop()
