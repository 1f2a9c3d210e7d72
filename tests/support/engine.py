"""A double of a Docker Engine on a unix socket: it loads, builds, tags and pushes, and fails on demand."""

from __future__ import annotations

import contextlib
import io
import json
import socketserver
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass
class Engine:
    """What the double holds, what it was sent, and how it should behave."""

    address: str = ""
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=lambda: {"DriverStatus": [["Backing Filesystem", "extfs"]]})
    version: dict[str, Any] = field(default_factory=lambda: {"ApiVersion": "1.41", "Os": "linux", "Components": []})
    build: list[dict[str, Any]] = field(default_factory=lambda: [{"aux": {"ID": "sha256:" + "b" * 64}}])
    push: list[dict[str, Any]] = field(default_factory=lambda: [{"aux": {"Digest": "sha256:" + "d" * 64}}])
    pull: list[dict[str, Any]] = field(default_factory=lambda: [{"status": "Pulled"}])
    refuse_parts: bool = False
    refuse_all: str = ""
    cut_build: bool = False
    requests: list[tuple[str, str, dict[str, str], dict[str, str]]] = field(default_factory=list)
    archives: list[dict[str, bytes]] = field(default_factory=list)
    contexts: list[bytes] = field(default_factory=list)

    def paths(self, method: str) -> list[str]:
        """The paths that were asked for with a method."""
        return [path for used, path, _, _ in self.requests if used == method]


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    engine: Engine


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    @property
    def engine(self) -> Engine:
        assert isinstance(self.server, _Server)
        return self.server.engine

    def answer(self, status: int, body: object) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(content)

    def stream(self, messages: list[dict[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for message in messages:
            line = json.dumps(message).encode() + b"\r\n"
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def route(self) -> str:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        if path.startswith("/v1."):
            path = path[path.index("/", 1) :]
        self.engine.requests.append((self.command, path, dict(parse_qsl(parts.query)), dict(self.headers.items())))
        return path

    def do_GET(self) -> None:
        path, engine = self.route(), self.engine
        if engine.refuse_all and path != "/_ping":
            self.answer(500, {"message": engine.refuse_all})
        elif path == "/_ping":
            self.answer(200, b"OK")
        elif path == "/info":
            self.answer(200, engine.info)
        elif path == "/version":
            self.answer(200, engine.version)
        elif path == "/images/json":
            self.answer(200, [{"Id": name} for name in engine.images])
        elif path.startswith("/images/") and path.endswith("/json"):
            found = engine.images.get(path[len("/images/") : -len("/json")])
            self.answer(200, found) if found else self.answer(404, {"message": "No such image"})
        else:
            self.answer(404, {"message": f"no {path}"})

    def do_POST(self) -> None:
        path, engine, content = self.route(), self.engine, self.body()
        if engine.refuse_all:
            self.answer(500, {"message": engine.refuse_all})
        elif path == "/images/load":
            self.load(content)
        elif path == "/build":
            engine.contexts.append(content)
            if engine.cut_build:
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b'ff\r\n{"stream":')
                self.close_connection = True
                return
            self.stream(engine.build)
        elif path == "/images/create":
            asked = engine.requests[-1][2]
            if not any("error" in message for message in engine.pull):
                mark = "@" if asked["tag"].startswith("sha256:") else ":"
                engine.images[f"{asked['fromImage']}{mark}{asked['tag']}"] = {"Id": "sha256:1"}
            self.stream(engine.pull)
        elif path.endswith("/push"):
            self.stream(engine.push)
        elif path.endswith("/tag"):
            self.answer(201, b"")
        else:
            self.answer(404, {"message": f"no {path}"})

    def load(self, content: bytes) -> None:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            files = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
        self.engine.archives.append(files)
        entry = json.loads(files["manifest.json"])[0]
        if self.engine.refuse_parts and any(name not in files for name in entry["Layers"]):
            self.stream([{"error": "open layer.tar: no such file or directory"}])
            return
        config = json.loads(files[entry["Config"]])
        identity = entry["Config"].removeprefix("blobs/").replace("/", ":")
        document = {"Id": identity, "RootFS": {"Layers": config["rootfs"]["diff_ids"]}}
        for name in (identity, *entry["RepoTags"]):
            self.engine.images[name] = document
        self.stream([{"stream": f"Loaded image: {entry['RepoTags'][0]}\n"}])


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Engine]:
    """An engine on a socket in the folder, whose path must be short."""
    path = folder / "engine.sock"
    engine = Engine(address=f"unix://{path}")
    with _Server(str(path), _Handler) as server:
        server.engine = engine
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield engine
        finally:
            server.shutdown()
            thread.join()
