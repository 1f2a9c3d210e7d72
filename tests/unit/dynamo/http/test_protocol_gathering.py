"""Writes of one turn, gathered."""

from __future__ import annotations

import asyncio

from dynamo.http.protocol import MOST, Gathering


class Played:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close


async def test_a_turn_is_one_write() -> None:
    """In order; the next turn is another one."""
    transport = Played()
    gathering = Gathering(transport, asyncio.get_running_loop())  # type: ignore[arg-type]
    gathering.write(b"head")
    gathering.write(b"item")
    assert transport.written == []
    await asyncio.sleep(0)
    gathering.write(b"end")
    await asyncio.sleep(0)
    assert transport.written == [b"headitem", b"end"]


async def test_much_goes_at_once() -> None:
    """So that a slow reader is noticed before more is made for it."""
    transport = Played()
    gathering = Gathering(transport, asyncio.get_running_loop())  # type: ignore[arg-type]
    gathering.write(b"a")
    gathering.write(b"x" * MOST)
    assert transport.written == [b"a" + b"x" * MOST]


async def test_closing_sends_what_is_held_and_aborting_does_not() -> None:
    """Nothing is written to a closed transport."""
    closed, aborted = Played(), Played()
    for transport, end in ((closed, "close"), (aborted, "abort")):
        gathering = Gathering(transport, asyncio.get_running_loop())  # type: ignore[arg-type]
        gathering.write(b"last")
        getattr(gathering, end)()
        gathering.write(b"too late")
        await asyncio.sleep(0)
        assert transport.closed
    assert closed.written == [b"last"]
    assert aborted.written == []
