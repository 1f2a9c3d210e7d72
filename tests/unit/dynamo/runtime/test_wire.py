"""Frames: cut anywhere they come out whole, and hostile bytes cost nothing."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.runtime import wire

FRAMES = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, wire.PONG), st.binary(max_size=200)), max_size=20)


@given(FRAMES, st.lists(st.integers(1, 60), min_size=1))
def test_any_cut_gives_the_same_frames(frames, sizes):
    """However the bytes arrive, the same frames come out."""
    data = b"".join(wire.encode(*frame) for frame in frames)
    decoder, found, position, turn = wire.Decoder(), [], 0, 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        found += decoder.feed(data[position : position + size])
        position, turn = position + size, turn + 1
    assert found == frames


@given(st.binary(max_size=300))
def test_any_bytes_are_frames_or_an_error(data):
    """Hostile bytes are a WireError at worst."""
    try:
        list(wire.Decoder(100).feed(data))
    except wire.WireError:
        return


def test_a_length_over_the_limit_is_refused_at_its_header():
    """The payload of a frame that is too large is not waited for."""
    with pytest.raises(wire.WireError, match="over the limit of 10"):
        list(wire.Decoder(10).feed(wire.HEADER.pack(11, 1, wire.ITEM)))


def test_payloads():
    """Requests survive packing; what is none is an error."""
    request = wire.Request("a/b/c", msgspec.Raw(b"\x01"), 1.5, {"k": "v"})
    back = wire.unpack(wire.Request, wire.pack(request))
    assert (back.path, bytes(back.body), back.timeout, back.headers) == ("a/b/c", b"\x01", 1.5, {"k": "v"})
    for junk in (b"", b"\x01", b"\xc1", b"\x93" * 2000):
        with pytest.raises(wire.WireError):
            wire.unpack(wire.Request, junk)
