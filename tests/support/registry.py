"""A registry in this process: what the contract suite holds the client to, with faults on demand."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(slots=True)
class Fault:
    """Answer requests that match with a status, or cut the connection (status 0), `times` times.

    `after` requests that match are served first. With status 0 and `arrived` that many bytes of the request's body are
    taken, or of the answer's sent, before the cut.
    """

    method: str
    path: str
    status: int
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b'{"errors":[{"code":"UNKNOWN","message":"a fault"}]}'
    after: int = 0
    arrived: int = 0
    seconds: float = 0.0


class Content:
    """What the registry holds, and what it was asked."""

    def __init__(self) -> None:
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.requests: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self.login = ""
        self.bearer = False
        self.tokens: dict[str, str] = {}
        self.received = self.sent = 0
        self.ranges = True
        self.lock = threading.Lock()

    def blobs_sent(self) -> int:
        """How many uploads were finished."""
        return sum(1 for method, path in self.requests if method == "PUT" and "/blobs/uploads/" in path)

    def fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.method == method and re.search(fault.path, path):
                    if fault.after:
                        fault.after -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    content: Content

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _error(self, status: int, code: str) -> None:
        self._reply(status, json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode())

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.content.received += len(body)
        return body

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.content.requests.append((self.command, self.path))
        fault = self.content.fault(self.command, self.path)
        if fault is not None:
            time.sleep(fault.seconds)
            if fault.status == 0:
                return self._cut(parts.path, fault.arrived)
            self._body()
            self._reply(
                fault.status, fault.body, **{name.replace("-", "_"): value for name, value in fault.headers.items()}
            )
            return None
        if parts.path == "/token":
            return self._token(query)
        if not self._allowed(parts.path):
            return None
        if parts.path == "/v2/":
            return self._reply(200, b"{}")
        for pattern, handle in (
            (r"/v2/(.+)/blobs/uploads/([^/]*)", self._upload),
            (r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})", self._blob),
            (r"/v2/(.+)/manifests/([^/]+)", self._manifest),
        ):
            if match := re.fullmatch(pattern, parts.path):
                return handle(match[1], match[2], query)
        return self._error(404, "NOT_FOUND")

    def _cut(self, path: str, arrived: int) -> None:
        """End the connection; a part of an upload stays, as servers that keep to the specification do."""
        if arrived and self.command == "PATCH":
            upload = self.content.uploads[path.rpartition("/")[2]]
            taken = self.rfile.read(min(arrived, int(self.headers.get("Content-Length") or 0)))
            upload += taken
            self.content.received += len(taken)
        elif arrived and (found := re.fullmatch(r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})", path)):
            blob, start = self.content.blobs[found[1], found[2]], self._start()
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(blob) - start))
            self.end_headers()
            self.wfile.write(blob[start : start + arrived])
            self.content.sent += arrived
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def _start(self) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(asked[1]) if asked and self.content.ranges else 0

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = _handle

    def _token(self, query: dict[str, str]) -> None:
        if self.headers.get("Authorization", "") != f"Basic {self.content.login}":
            return self._error(401, "UNAUTHORIZED")
        token = uuid.uuid4().hex
        self.content.tokens[token] = query.get("scope", "")
        return self._reply(200, json.dumps({"token": token}).encode())

    def _allowed(self, path: str) -> bool:
        if not self.content.login:
            return True
        sent = self.headers.get("Authorization", "")
        repository = re.match(r"/v2/(.+?)/(?:blobs|manifests)/", path)
        name = repository[1] if repository else ""
        if self.content.bearer:
            scope = self.content.tokens.get(sent.removeprefix("Bearer "))
            if scope is not None and (not name or scope.startswith(f"repository:{name}:")):
                return True
            address = f"http://{self.headers['Host']}/token"
            challenge = f'Bearer realm="{address}",service="test",scope="repository:{name}:pull,push"'
        else:
            if sent == f"Basic {self.content.login}":
                return True
            challenge = 'Basic realm="test"'
        self._body()
        self._reply(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}', WWW_Authenticate=challenge)
        return False

    def _upload(self, repository: str, name: str, query: dict[str, str]) -> None:
        content = self.content
        if self.command == "POST":
            self._body()
            mounted = content.blobs.get((query.get("from", ""), query.get("mount", "")))
            if mounted is not None:
                content.blobs[repository, query["mount"]] = mounted
                return self._reply(201)
            name = uuid.uuid4().hex
            content.uploads[name] = bytearray()
            return self._reply(202, Location=f"/v2/{repository}/blobs/uploads/{name}?state=1")
        if name not in content.uploads:
            self._body()
            return self._error(404, "BLOB_UPLOAD_UNKNOWN")
        place = f"/v2/{repository}/blobs/uploads/{name}?state=1"
        if self.command == "GET":
            return self._reply(204, Location=place, Range=f"0-{max(len(content.uploads[name]) - 1, 0)}")
        if self.command == "PATCH":
            start = int(self.headers.get("Content-Range", "0-").partition("-")[0])
            body = self._body()
            if start != len(content.uploads[name]):
                return self._error(416, "RANGE_INVALID")
            content.uploads[name] += body
            return self._reply(202, Location=place, Range=f"0-{len(content.uploads[name]) - 1}")
        whole = bytes(content.uploads.pop(name)) + self._body()
        if digest_of(whole) != query.get("digest"):
            return self._error(400, "DIGEST_INVALID")
        content.blobs[repository, query["digest"]] = whole
        return self._reply(201, Location=f"/v2/{repository}/blobs/{query['digest']}")

    def _blob(self, repository: str, digest: str, query: dict[str, str]) -> None:
        blob = self.content.blobs.get((repository, digest))
        if blob is None:
            return self._error(404, "BLOB_UNKNOWN")
        start = self._start()
        if self.command == "GET":
            self.content.sent += len(blob) - start
        return self._reply(206 if start else 200, blob[start:], Docker_Content_Digest=digest)

    def _manifest(self, repository: str, name: str, query: dict[str, str]) -> None:
        if self.command == "PUT":
            body = self._body()
            document = json.loads(body)
            needed = [document["config"], *document["layers"]] if "layers" in document else []
            if any((repository, item["digest"]) not in self.content.blobs for item in needed):
                return self._error(400, "MANIFEST_BLOB_UNKNOWN")
            stored = (self.headers["Content-Type"], body)
            self.content.manifests[repository, name] = self.content.manifests[repository, digest_of(body)] = stored
            return self._reply(201, Docker_Content_Digest=digest_of(body))
        kind, body = self.content.manifests.get((repository, name), ("", b""))
        if not body or kind not in self.headers.get("Accept", ""):
            return self._error(404, "MANIFEST_UNKNOWN")
        return self._reply(200, body, Content_Type=kind, Docker_Content_Digest=digest_of(body))


@contextlib.contextmanager
def running(
    user: str = "", password: str = "", *, bearer: bool = False, certificate: str = ""
) -> Iterator[tuple[str, Content]]:
    """A registry on a free port of loopback: its `host:port` and its content."""
    content = Content()
    if user:
        content.login = base64.b64encode(f"{user}:{password}".encode()).decode()
        content.bearer = bearer
    handler = type("Handler", (_Handler,), {"content": content})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", content
    finally:
        server.shutdown()
        server.server_close()
