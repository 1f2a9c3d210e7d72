"""Frames as bytes: what travels between two processes, and the one place that parses it.

A frame is payload length (u32), stream (u32), kind (u8), payload; numbers are big endian. Payloads are MessagePack.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final, cast

import msgspec

HELLO: Final = 0
REQUEST: Final = 1
OPEN: Final = 2  # the answer is a stream; items follow
ITEM: Final = 3
END: Final = 4
VALUE: Final = 5  # the whole answer, and its end
ERROR: Final = 6  # the answer failed, and its end
CANCEL: Final = 7
CREDIT: Final = 8
PING: Final = 9
PONG: Final = 10
ITEMS: Final = 11  # several items: what they take of the window (u32), and their MessagePack as one array

# The stream's number is in the header, not in the payload: a frame of a call that was given up is skipped by its length
# without being decoded. The length comes first, so that a payload over the limit is refused before memory is taken.
HEADER: Final = struct.Struct("!IIB")
LARGE: Final = 64 * 1024
LARGEST: Final = 256 * 1024 * 1024
VERSION: Final = 1

Frame = tuple[int, int, bytes]


class WireError(ValueError):
    """The other side sent what is not a frame, or not one of this protocol."""


class Request(msgspec.Struct, array_like=True, frozen=True):
    """A call: the endpoint's path, its body as MessagePack, the seconds it may take (0: any), and its headers."""

    path: str
    body: msgspec.Raw
    timeout: float = 0.0
    headers: dict[str, str] = {}


class Hello(msgspec.Struct, array_like=True, frozen=True):
    """The first frame of a connection: who may call proves it with the graph's token."""

    version: int
    token: str


class Failure(msgspec.Struct, array_like=True, frozen=True):
    """An error as it travels: its wire code, its message, and the class that was raised."""

    code: str
    message: str
    kind: str = ""


_encoder = msgspec.msgpack.Encoder()
_decoders = {cls: msgspec.msgpack.Decoder(cls) for cls in (Request, Hello, Failure)}


def pack_message(value: Request | Hello | Failure) -> bytes:
    """A payload as MessagePack."""
    return _encoder.encode(value)


def pack_request(request: Request) -> bytes:
    """A request as MessagePack; a large body is copied once, where the encoder would copy it with every growth."""
    if len(memoryview(request.body)) < LARGE:
        return _encoder.encode(request)
    head = _encoder.encode(request.path)
    tail = _encoder.encode((request.timeout, request.headers))
    return b"".join((_FOUR, head, request.body, tail[1:]))


_FOUR = b"\x94"


def unpack_message(cls: type[Any], payload: bytes) -> Any:
    """A payload as a value. Raises WireError when it does not have the shape."""
    try:
        return _decoders[cls].decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"not a {cls.__name__.lower()}: {error}") from error


def encode_frame(stream: int, kind: int, payload: bytes = b"") -> bytes:
    """One frame as bytes."""
    return HEADER.pack(len(payload), stream, kind) + payload


_ITEMS_HEAD = struct.Struct("!IBI")
_ARRAY_OF_32_BITS = 0xDD


def pack_items(items: list[bytes], units: int) -> bytes:
    """The payload of an ITEMS frame; each item is one MessagePack value already."""
    return _ITEMS_HEAD.pack(units, _ARRAY_OF_32_BITS, len(items)) + b"".join(items)


def items_of(payload: bytes) -> memoryview:
    """The MessagePack array in an ITEMS frame's payload."""
    return memoryview(payload)[4:]


def units_of(payload: bytes) -> int:
    """What the items of an ITEMS frame take of their stream's window."""
    return int.from_bytes(payload[:4], "big")


class Decoder:
    """Cuts a stream of bytes into frames. `largest` bounds a payload, so a hostile length costs nothing."""

    __slots__ = ("_chunks", "_size", "_wanted", "largest")

    def __init__(self, largest: int = LARGEST) -> None:
        self.largest = largest
        self._chunks: list[bytes] = []
        self._size = 0
        self._wanted = HEADER.size

    def feed(self, data: bytes) -> Iterator[Frame]:
        """All frames that are whole now. Raises WireError; the connection is then of no more use.

        `largest` is looked at before each frame, so handling a frame can change it for the next.
        """
        if self._chunks:
            self._chunks.append(data)
            self._size += len(data)
            if self._size < self._wanted:
                return
            data = b"".join(self._chunks)
            self._chunks.clear()
        position, size, wanted = 0, len(data), HEADER.size
        while size - position >= HEADER.size:
            length, stream, kind = HEADER.unpack_from(data, position)
            if length > self.largest:
                raise WireError(f"a frame of {length} bytes is over the limit of {self.largest}")
            if kind > ITEMS:
                raise WireError(f"unknown kind of frame {kind}")
            start = position + HEADER.size
            end = start + length
            if end > size:
                wanted = end - position
                break
            position = end
            # A large payload is a view of what was read, so that it is not copied once more.
            yield stream, kind, data[start:end] if length < LARGE else cast(bytes, memoryview(data)[start:end])
        if position < size:
            self._chunks.append(data[position:])
            self._size = size - position
            self._wanted = wanted
