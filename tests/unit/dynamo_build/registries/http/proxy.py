"""A proxy in this process: CONNECT tunnels and absolute requests, with names that lead where the test says."""

from __future__ import annotations

import base64
import contextlib
import http.client
import selectors
import socket
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    names: Mapping[str, str]
    seen: list[str]
    login: str

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _allowed(self) -> bool:
        self.seen.append(f"{self.command} {self.path}")
        if not self.login or self.headers.get("Proxy-Authorization", "") == f"Basic {self.login}":
            return True
        self.send_response(407, "Proxy Authentication Required")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def do_CONNECT(self) -> None:
        if not self._allowed():
            return
        host, _, port = self.names[self.path].rpartition(":")
        self.send_response(200)
        self.end_headers()
        with socket.create_connection((host, int(port))) as there, selectors.DefaultSelector() as ready:
            ready.register(self.connection, selectors.EVENT_READ, there)
            ready.register(there, selectors.EVENT_READ, self.connection)
            while True:
                for key, _ in ready.select():
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        self.close_connection = True
                        return
                    key.data.sendall(data)

    def _forward(self) -> None:
        if not self._allowed():
            return
        parts = urlsplit(self.path)
        connection = http.client.HTTPConnection(self.names[parts.netloc])
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if not name.startswith("Proxy-")}
        connection.request(self.command, f"{parts.path}?{parts.query}" if parts.query else parts.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("server", "date"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = _forward


@contextlib.contextmanager
def running(names: Mapping[str, str], login: str = "") -> Iterator[tuple[str, list[str]]]:
    """The proxy's `host:port` and what it was asked. `names` maps `host:port` to where that really is."""
    seen: list[str] = []
    encoded = base64.b64encode(login.encode()).decode() if login else ""
    handler = type("Handler", (_Handler,), {"names": names, "seen": seen, "login": encoded})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
