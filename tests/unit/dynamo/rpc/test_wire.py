"""Frames: cut anywhere they come out whole, and hostile bytes cost nothing."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.messages import payload
from dynamo.rpc import wire

FRAMES = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, wire.PONG), st.binary(max_size=200)), max_size=20)


@given(FRAMES, st.lists(st.integers(1, 60), min_size=1))
def test_any_cut_gives_the_same_frames(frames, sizes):
    """However the bytes arrive, the same frames come out."""
    data = b"".join(wire.encode_frame(*frame) for frame in frames)
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
    back = wire.unpack_message(wire.Request, wire.pack_message(request))
    assert (back.path, bytes(back.body), back.timeout, back.headers) == ("a/b/c", b"\x01", 1.5, {"k": "v"})
    for junk in (b"", b"\x01", b"\xc1", b"\x93" * 2000):
        with pytest.raises(wire.WireError):
            wire.unpack_message(wire.Request, junk)


@pytest.mark.parametrize("size", [0, wire.LARGE - 10, wire.LARGE, 3 * wire.LARGE])
def test_requests_of_any_size(size):
    """A large request is written in another way, and read in the same."""
    request = wire.Request("n/C/e", msgspec.Raw(payload.encode(b"x" * size)), 1.5, {"a": "b"})
    assert wire.pack_request(request) == wire.pack_message(request)
    found = wire.unpack_message(wire.Request, memoryview(wire.pack_request(request)))
    assert (found.path, found.timeout, found.headers) == ("n/C/e", 1.5, {"a": "b"})
    assert payload.decode(found.body) == b"x" * size


@pytest.mark.parametrize("size", [10, wire.LARGE - 1, wire.LARGE, 5 * wire.LARGE])
@pytest.mark.parametrize("cut", [1, 9, 1000, 65536])
def test_large_frames_in_pieces(size, cut):
    """Frames come out whole, however they were cut."""
    data = wire.encode_frame(1, wire.ITEM, b"y" * size) + wire.encode_frame(2, wire.END)
    decoder, found = wire.Decoder(), []
    for start in range(0, len(data), cut if size > cut * 4 else 7000):
        found += decoder.feed(data[start : start + (cut if size > cut * 4 else 7000)])
    assert [(stream, kind, bytes(body)) for stream, kind, body in found] == [
        (1, wire.ITEM, b"y" * size),
        (2, wire.END, b""),
    ]
