"""Events from workers to routers about KV blocks: stored, removed, cleared, and everything at once."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

Hashes: TypeAlias = list[Annotated[int, msgspec.Meta(ge=0)]]


class Stored(msgspec.Struct, frozen=True, tag="stored"):
    """These blocks can be reused from now on: blocks in a row, each of which follows the one before it.

    The hashes are chained, so each names its whole prefix.
    """

    hashes: Hashes


class Removed(msgspec.Struct, frozen=True, tag="removed"):
    """These blocks in a row are gone; `after` are those before them, as `KvIndexer.removed` wants them."""

    hashes: Hashes
    after: Hashes | None = None


class Cleared(msgspec.Struct, frozen=True, tag="cleared"):
    """All blocks are gone."""


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    """All blocks that a worker holds, in rows, in `parts` messages: the answer to a router that missed events."""

    rows: list[Hashes]
    part: int = 0
    parts: int = 1


KvEvent: TypeAlias = Stored | Removed | Cleared | Snapshot


class KvMessage(msgspec.Struct, frozen=True):
    """Events of one worker. `number` counts the messages of one `session` from 1, so that a lost one is noticed.

    A snapshot has the number of the last message that it includes.
    """

    worker: int
    session: int
    number: int
    events: list[KvEvent]


class Resync(msgspec.Struct, frozen=True):
    """A router asks for the snapshot of a worker; of all with worker 0."""

    worker: int = 0


_encode = msgspec.msgpack.Encoder().encode
_message = msgspec.msgpack.Decoder(KvMessage).decode
_resync = msgspec.msgpack.Decoder(Resync).decode


def encode_message(message: KvMessage | Resync) -> bytes:
    """A message as it travels."""
    return _encode(message)


def decode_message(payload: bytes) -> KvMessage:
    """A worker's message. Raises ValueError when it is not one."""
    return _message(payload)


def decode_resync(payload: bytes) -> Resync:
    """A router's question. Raises ValueError when it is not one."""
    return _resync(payload)
