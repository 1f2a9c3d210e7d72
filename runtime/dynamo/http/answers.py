"""Results of a method, returned or yielded, as bytes of an HTTP answer."""

from __future__ import annotations

from typing import Any

from dynamo.messages import payload
from dynamo.sdk.errors import RemoteError

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
LINES = "application/x-ndjson"
EVENTS = "text/event-stream"
BYTES = "application/octet-stream"

STATUS = {
    "bad_request": 400,
    "not_found": 404,
    "unauthorized": 502,
    "deadline": 504,
    "cancelled": 503,
    "unavailable": 503,
    "overloaded": 503,
    "internal": 500,
}


def encode_value(value: Any) -> tuple[str, bytes]:
    """A returned value: its content type and body. Raises TypeError for what JSON cannot say."""
    if isinstance(value, str):
        return (EVENTS if is_event(value) else TEXT), value.encode()
    if isinstance(value, (bytes, bytearray)):
        return BYTES, bytes(value)
    return JSON, payload.to_json(value)


def choose_form(first: Any, accept: str) -> str:
    """The content type of a stream, by its first item and by what the client accepts."""
    if isinstance(first, (bytes, bytearray)):
        return EVENTS if EVENTS in accept or is_event(first.decode(errors="replace")) else BYTES
    if EVENTS in accept or (isinstance(first, str) and is_event(first)):
        return EVENTS
    return TEXT if isinstance(first, str) else LINES


def is_event(text: str) -> bool:
    """Whether a text is a server-sent event already."""
    return text.endswith("\n\n") and text.startswith(("data:", "event:", "id:", "retry:", ":"))


def encode_item(value: Any, form: str) -> bytes:
    """One item of a stream in the stream's form; bytes and ready events pass unchanged."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if form == EVENTS:
        if isinstance(value, str):
            return value.encode() if is_event(value) else format_event(value)
        return b"data: " + payload.to_json(value) + b"\n\n"
    if isinstance(value, str):
        return value.encode() if value.endswith("\n") else value.encode() + b"\n"
    return payload.to_json(value) + b"\n"


def format_event(text: str) -> bytes:
    """A text as one server-sent event; each of its lines is a data line."""
    return "".join(f"data: {line}\n" for line in text.split("\n")).encode() + b"\n"


def encode_error(error: RemoteError, request_id: str) -> bytes:
    """An error as JSON."""
    return payload.to_json(
        {"error": {"code": error.code, "message": error.message, "kind": error.kind, "request_id": request_id}}
    )


def encode_broken_end(error: RemoteError, request_id: str, form: str) -> bytes:
    """The last words of a stream that failed."""
    if form == EVENTS:
        return b"event: error\ndata: " + encode_error(error, request_id) + b"\n\n"
    if form == LINES:
        return encode_error(error, request_id) + b"\n"
    return f"\nerror: {error.code}: {error.message}\n".encode() if form == TEXT else b""
