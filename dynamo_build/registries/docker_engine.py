"""A Docker Engine as a place for images: find one, and load an image that was built without it.

Plain HTTP to the engine's socket: loading must not pay for a client library.
Source: Docker Engine API 1.41 (`/_ping`, `/info`, `/images/json`, `/images/load`) and the docker-archive form.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from dynamo_build.errors import ImageBuildError, ToolMissing
from dynamo_build.events import Finished, Listener, Noted, Output, Progress, Started, ignore
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci import docker_archive
from dynamo_build.oci.layer import CHUNK
from dynamo_build.oci.oci_image import OciImage

DEFAULT_SOCKET = "/var/run/docker.sock"
#: How many of the engine's images are asked for their layers before the whole archive is sent.
_LOOK_AT = 100
_ANSWER_SECONDS = 600


def find_engine(environment: Mapping[str, str]) -> str:
    """The address of the engine that answers, or "". It costs one short request.

    `DOCKER_HOST` decides alone when it is set; else the usual sockets are tried. Addresses by ssh are not taken.
    """
    named = environment.get("DOCKER_HOST", "")
    if named:
        return named if _read_answers(named, environment) else ""
    usual = [DEFAULT_SOCKET]
    if environment.get("XDG_RUNTIME_DIR"):
        usual.append(f"{environment['XDG_RUNTIME_DIR']}/docker.sock")
    return next((f"unix://{path}" for path in usual if _read_answers(f"unix://{path}", environment)), "")


def engine_missing(address: str) -> ToolMissing:
    """The error for an engine that is not there."""
    place = f" at {address}" if address else ""
    return ToolMissing(
        f"no Docker Engine answers{place}",
        [
            "Start Docker, or name it with DOCKER_HOST.",
            "Without Docker, build with `--builder oci` into a registry or a folder.",
        ],
    )


def load_image(
    image: OciImage,
    reference: ImageReference,
    address: str,
    on: Listener = ignore,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Put an image into the engine under a reference and give its id there.

    Layers that the engine has are left out. That rests on what engines do and on no specification, so the whole
    archive follows when it fails. Raises ToolMissing, ImageBuildError or RegistryError (a layer that cannot be read).
    """
    name = format_reference(reference)
    what = f"load {name} into the engine"
    engine = _Engine(address, os.environ if environment is None else environment)
    on(Started(what=what))
    try:
        known = _find_known_layers(engine, image)
        found = _archive_part(engine, image, name, known, on) if known else ""
        found = found or _send_archive(engine, image, name, frozenset(), on)
    except _Unreachable as error:
        raise engine_missing(address) from error
    except (_Refused, OSError, http.client.HTTPException) as error:
        raise ImageBuildError(f"the engine did not load {name}: {str(error) or type(error).__name__}") from error
    if not found:
        raise ImageBuildError(f"the Docker Engine reported that it loaded {name}, but does not have it")
    on(Finished(what=what, detail=found))
    return found


def format_reference(reference: ImageReference) -> str:
    """How an engine names the image: with a tag, never with a digest."""
    return f"{reference.repository}:{reference.tag or 'latest'}"


def _archive_part(engine: _Engine, image: OciImage, name: str, known: frozenset[str], on: Listener) -> str:
    try:
        found = _send_archive(engine, image, name, known, on)
    except (_Refused, BrokenPipeError, ConnectionResetError, http.client.HTTPException):
        found = ""
    if not found:
        on(Noted(text="the engine does not take a part of an image; sending all of it"))
    return found


def _find_known_layers(engine: _Engine, image: OciImage) -> frozenset[str]:
    """Digests of the lowest layers that an image in the engine has too: the same diff ids in the same order."""
    wanted = [layer.diff_id for layer in image.layers]
    longest = 0
    try:
        if any(str(pair[0]) == "driver-type" for pair in engine.get("/info").get("DriverStatus") or ()):
            return frozenset()  # containerd's store takes an image with all of its blobs or not at all
        for entry in engine.get("/images/json")[:_LOOK_AT]:
            with contextlib.suppress(_Refused):
                document = engine.get(f"/images/{quote(entry['Id'], safe='')}/json")
                longest = max(longest, _shared_layers(wanted, (document.get("RootFS") or {}).get("Layers") or []))
            if longest == len(wanted):
                break
    except _Refused:
        return frozenset()
    return frozenset(layer.digest for layer in image.layers[:longest])


def _shared_layers(wanted: list[str], has: list[str]) -> int:
    return next(
        (at for at, (mine, other) in enumerate(zip(wanted, has, strict=False)) if mine != other),
        min(len(wanted), len(has)),
    )


def _send_archive(engine: _Engine, image: OciImage, name: str, without: frozenset[str], on: Listener) -> str:
    """The id after loading (of the config; with containerd's store of the manifest), or "" when it is not there."""
    total = sum(layer.size for layer in image.layers if layer.digest not in without)
    pieces = _count_bytes(
        docker_archive.iterate_pieces(image, (name,), without), f"load {name} into the engine", total, on
    )
    for message in engine.post("/images/load", pieces, "application/x-tar"):
        if message.get("error"):
            raise _Refused(str(message["error"]))
        if text := str(message.get("stream", "")).strip():
            on(Output(line=text))
    try:
        found = str(engine.get(f"/images/{quote(name, safe='/:')}/json").get("Id"))
    except _Refused:
        return ""
    return found if found in (image.config_digest, image.digest) else ""


def _count_bytes(pieces: Iterator[bytes], what: str, total: int, on: Listener) -> Iterator[bytes]:
    done = told = 0
    for piece in pieces:
        yield piece
        done += len(piece)
        if done - told >= max(CHUNK, total // 100):
            told = done
            on(Progress(what=what, done=min(done, total), total=total))


class _Refused(Exception):
    """The engine answered, and said no."""


class _Unreachable(Exception):
    """Nothing answers at the address."""


class _Engine:
    """Requests to one engine, each on a connection of its own."""

    def __init__(self, address: str, environment: Mapping[str, str]) -> None:
        self._address = address or f"unix://{DEFAULT_SOCKET}"
        self._environment = environment

    def get(self, path: str, seconds: float = 60) -> Any:
        """The JSON behind a path."""
        with contextlib.closing(_open_connection(self._address, self._environment, seconds)) as connection:
            connection.request("GET", path)
            return json.loads(_is_accepted(connection.getresponse()))

    def post(self, path: str, pieces: Iterator[bytes], kind: str) -> Iterator[dict[str, Any]]:
        """Send a body of unknown length; the answer's JSON messages follow, one a line."""
        with contextlib.closing(_open_connection(self._address, self._environment, _ANSWER_SECONDS)) as connection:
            headers = {"Content-Type": kind, "Transfer-Encoding": "chunked"}
            connection.request("POST", path, pieces, headers, encode_chunked=True)
            for line in _is_accepted(connection.getresponse()).splitlines():
                with contextlib.suppress(ValueError):
                    message = json.loads(line)
                    if isinstance(message, dict):
                        yield message


def _open_connection(address: str, environment: Mapping[str, str], seconds: float) -> http.client.HTTPConnection:
    connection: http.client.HTTPConnection
    try:
        parts = urlsplit(address)
        if parts.scheme == "unix":
            connection = http.client.HTTPConnection("engine", timeout=seconds)
            connection.sock = _connect_unix(parts.path, seconds)
        elif parts.scheme in ("tcp", "http", "https") and parts.hostname:
            secured = parts.scheme == "https" or bool(environment.get("DOCKER_TLS_VERIFY"))
            if secured:
                context = _load_certificates(environment)
                connection = http.client.HTTPSConnection(
                    parts.hostname, parts.port or 2376, timeout=seconds, context=context
                )
            else:
                connection = http.client.HTTPConnection(parts.hostname, parts.port or 2375, timeout=seconds)
            connection.connect()
        else:
            raise _Unreachable(address)
    except (OSError, ValueError) as error:
        raise _Unreachable(address) from error
    return connection


def _connect_unix(path: str, seconds: float) -> socket.socket:
    if not stat.S_ISSOCK(Path(path).stat().st_mode):
        raise OSError(f"{path} is not a socket")
    made = socket.socket(socket.AF_UNIX)
    try:
        made.settimeout(seconds)
        made.connect(path)
    except OSError:
        made.close()
        raise
    return made


def _load_certificates(environment: Mapping[str, str]) -> ssl.SSLContext:
    folder = Path(environment.get("DOCKER_CERT_PATH") or Path.home() / ".docker")
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def _is_accepted(response: http.client.HTTPResponse) -> bytes:
    body = response.read()
    if response.status < 300:
        return body
    try:
        said = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        said = body[:200].decode("utf-8", "replace")
    raise _Refused(" ".join(str(said).split()) or f"status {response.status}")


def _read_answers(address: str, environment: Mapping[str, str]) -> bool:
    try:
        with contextlib.closing(_open_connection(address, environment, 2)) as connection:
            connection.request("GET", "/_ping")
            return connection.getresponse().status == 200
    except (_Unreachable, OSError, http.client.HTTPException):
        return False
