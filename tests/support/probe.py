"""Wait until a server answers: a script of its own, so that the stack needs neither curl nor an installed package."""

from __future__ import annotations

import argparse
import http.client
import os
import socket
import ssl
import sys
import time
from urllib.parse import urlsplit


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("engine", timeout=5)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(self._path)


def answers(url: str, unix: str, accepted: set[int]) -> bool:
    """Whether the server behind `url` (or behind a unix socket) gives one of the accepted statuses."""
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if unix:
        connection = UnixConnection(unix)
    elif parts.scheme == "https":
        unverified = ssl._create_unverified_context()  # only whether it answers is asked here
        connection = http.client.HTTPSConnection(parts.netloc, timeout=5, context=unverified)
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    try:
        connection.request("GET", parts.path + (f"?{parts.query}" if parts.query else ""))
        return connection.getresponse().status in accepted
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def running(pid: int) -> bool:
    """Whether the process is there and not a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as status:
            return status.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--socket", default="")
    parser.add_argument("--accept", type=int, action="append", default=[200])
    parser.add_argument("--pid", type=int, default=os.getpid())
    options = parser.parse_args()
    deadline = time.monotonic() + options.seconds
    while time.monotonic() < deadline and running(options.pid):
        if answers(options.url, options.socket, set(options.accept)):
            return 0
        time.sleep(0.02)
    return 1


if __name__ == "__main__":
    sys.exit(main())
