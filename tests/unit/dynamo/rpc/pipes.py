"""A pipe for connections under test: it keeps what was written, and nothing else happens."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from dynamo.rpc import wire
from dynamo.rpc.connection import FrameConnection


class KeptPipe:
    """The bytes that a connection sent."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.closed = False

    def write(self, data: bytes) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def frames(self) -> list[wire.Frame]:
        """What was sent, as frames."""
        return list(wire.Decoder().feed(bytes(self.sent)))


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The data cut at these places."""
    places = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


def fed(connection: FrameConnection, pipe: KeptPipe, data: bytes, cuts: Sequence[int]) -> None:
    """Let a connection read the data in pieces, until it closes."""
    for piece in pieces(data, cuts):
        if pipe.closed:
            return
        connection.data_received(piece)
