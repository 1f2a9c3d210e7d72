"""Build messages of a Docker Engine: JSON, and BuildKit's status as protobuf inside it.

Source: Docker Engine API (`/build`), moby/buildkit `api/services/control/control.proto` (StatusResponse).
"""

from __future__ import annotations

import base64
import binascii
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dynamo_build.errors import ImageBuildError
from dynamo_build.events import Listener, Output

#: Fields of StatusResponse, Vertex and VertexLog.
_VERTEXES, _LOGS = 1, 3
_VERTEX_DIGEST, _VERTEX_NAME, _VERTEX_CACHED = 1, 3, 4
_LOG_MESSAGE = 4
_TAIL = 8


def follow(messages: Iterable[Mapping[str, Any]], on: Listener) -> str:
    """Give every line to the listener, and at the end the id of the image. Raises ImageBuildError."""
    image = ""
    tail: deque[str] = deque(maxlen=_TAIL)
    seen: set[bytes] = set()
    for message in messages:
        if error := message.get("error"):
            raise ImageBuildError(_failure(str(error), tail), _hints(str(error), tail))
        aux = message.get("aux")
        if message.get("id") == "moby.buildkit.trace":
            lines: Iterable[str] = _trace(str(aux), seen)
        elif isinstance(aux, dict) and aux.get("ID"):
            image, lines = str(aux["ID"]), ()
        else:
            lines = str(message.get("stream") or message.get("status") or "").splitlines()
        for line in lines:
            if text := line.rstrip():
                tail.append(text)
                on(Output(line=text))
    if not image:
        raise ImageBuildError("the Docker Engine ended the build without an image")
    return image


def _failure(error: str, tail: Iterable[str]) -> str:
    """The engine's error with what the failing step said last, which is what the user has to see."""
    said = [line for line in tail if not line.startswith(("Step ", " ---> ", "Removing ", "["))]
    return "\n".join([f"the build failed: {' '.join(error.split())}", *said[-4:]])


def _hints(error: str, tail: Iterable[str]) -> list[str]:
    said = "\n".join([error, *tail]).lower()
    if "certificate_verify_failed" in said:
        return ["The base image does not trust the package index; give it a pip.conf with `cert =` and the bundle."]
    if "no matching distribution" in said:
        return ["The index that the base image's pip is set to lacks a locked package; set it in its pip.conf."]
    if "no module named pip" in said or "python: not found" in said:
        return ["The base image needs Python with pip; `dynamo containerize --base` names another."]
    return []


def _trace(text: str, seen: set[bytes]) -> Iterator[str]:
    """Steps as they begin and the lines that they write. What cannot be read is left out: it is talk."""
    try:
        for number, part in _fields(base64.b64decode(text, validate=True)):
            if number == _VERTEXES and isinstance(part, bytes):
                vertex = dict(_fields(part))
                digest, name = vertex.get(_VERTEX_DIGEST), vertex.get(_VERTEX_NAME)
                if isinstance(digest, bytes) and isinstance(name, bytes) and digest not in seen:
                    seen.add(digest)
                    yield _text(name) + (" (cached)" if vertex.get(_VERTEX_CACHED) == 1 else "")
            elif number == _LOGS and isinstance(part, bytes):
                message = dict(_fields(part)).get(_LOG_MESSAGE)
                if isinstance(message, bytes):
                    yield from _text(message).splitlines()
    except (ValueError, IndexError, binascii.Error):
        return


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message: varints as int, all else as bytes. Raises ValueError, IndexError."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        value: int | bytes
        if kind == 0:
            value, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = data[at : at + size], at + size
        elif kind == 2:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"kind {kind}")
        yield number, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
