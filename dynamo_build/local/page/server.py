"""The dashboard's page and its read-only HTTP server, on loopback unless told otherwise."""

from __future__ import annotations

import base64
import hashlib
import threading
from dataclasses import dataclass
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from dynamo.sdk import codec
from dynamo.sdk.graph import ServiceGraph
from dynamo_build.errors import UsageError
from dynamo_build.graph.drawing.svg import STYLE, render_svg
from dynamo_build.local.page.watch import Watch
from dynamo_build.system.templating import render_template, templates_folder


class Server(ThreadingHTTPServer):
    """Serves the page and its state between `start` and `stop`."""

    daemon_threads = True

    def __init__(self, host: str, port: int, page: bytes, policy: str, watch: Watch) -> None:
        self.page, self.policy, self.watch = page, policy, watch
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UsageError(
                f"cannot listen on {host}:{port}: {reason}", ["Choose another --port; 0 is any."]
            ) from error

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}/"

    def start(self) -> None:
        """Answer from a thread."""
        threading.Thread(target=self.serve_forever, name="dashboard", daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "dynamo"
    sys_version = ""
    timeout = 10

    def do_GET(self) -> None:
        if not self._is_allowed_host():
            self._send_answer(403, "text/plain; charset=utf-8", b"this host name is not ours\n")
            return
        path = urlsplit(self.path).path
        if path == "/":
            self._send_answer(200, "text/html; charset=utf-8", self.server.page)
        elif path == "/state.json":
            state = self.server.watch.state
            self._send_answer(503 if state.error else 200, "application/json", codec.encode_canonical(state))
        else:
            self._send_answer(404, "text/plain; charset=utf-8", b"there is nothing here\n")

    def _is_allowed_host(self) -> bool:
        """A page of another site must not reach us by a name that it made point here (DNS rebinding)."""
        named = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        return named in ("localhost", "127.0.0.1", "[::1]", str(self.server.server_address[0]))

    def _send_answer(self, status: int, form: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", form),
            ("Content-Length", str(len(body))),
            ("Content-Security-Policy", self.server.policy),
            ("X-Content-Type-Options", "nosniff"),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Requests of the page are not worth a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """What the template is rendered with; everything is HTML already."""

    title: str
    picture: str
    style: str
    script: str


def render_page(graph: ServiceGraph) -> tuple[bytes, str]:
    """The page of a graph, and its Content-Security-Policy.

    Source: W3C Content Security Policy Level 3, hashes of inline scripts and styles.
    """
    style = (templates_folder() / "dashboard.css").read_text() + STYLE
    script = (templates_folder() / "dashboard.js").read_text()
    picture = render_svg(graph).replace(f"<style>{STYLE}</style>\n", "")
    dashboard = Dashboard(title=escape(graph.target), picture=picture, style=style, script=script)
    policy = (
        f"default-src 'none'; style-src 'sha256-{_digest_text(style)}'; script-src 'sha256-{_digest_text(script)}'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return render_template("dashboard.html.j2", dashboard=dashboard).encode(), policy


def _digest_text(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
