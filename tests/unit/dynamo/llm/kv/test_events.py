"""What workers tell routers, as bytes and back."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.llm.kv import events
from dynamo.llm.kv.events import Cleared, KvMessage, Removed, Resync, Snapshot, Stored

HASHES = st.lists(st.integers(0, 2**64 - 1), max_size=20)
EVENTS = st.one_of(
    st.builds(Stored, HASHES),
    st.builds(Removed, HASHES, st.none() | HASHES),
    st.builds(Cleared),
    st.builds(Snapshot, st.lists(HASHES, max_size=4), st.integers(0, 9), st.integers(1, 9)),
)


@given(st.builds(KvMessage, st.integers(0, 2**53), st.integers(0, 2**53), st.integers(0, 2**53), st.lists(EVENTS)))
def test_a_message_comes_out_as_it_went_in(message):
    """Every event with every hash."""
    assert events.decode_message(events.encode_message(message)) == message


@given(st.binary(max_size=60))
def test_what_is_no_message(body):
    """Any bytes are a message, or a ValueError."""
    for read in (events.decode_message, events.decode_resync):
        try:
            read(body)
        except ValueError:
            continue


def test_a_hash_that_is_too_large():
    """More than 64 bits cannot be sent; a message that says such a thing otherwise is refused."""
    with pytest.raises(OverflowError):
        events.encode_message(KvMessage(1, 1, 1, [Stored([2**64])]))
    event = {"type": "stored", "hashes": ["1"]}
    with pytest.raises(ValueError, match="int"):
        events.decode_message(msgspec.msgpack.encode({"worker": 1, "session": 1, "number": 1, "events": [event]}))
    event = {"type": "removed", "hashes": [-1]}
    with pytest.raises(ValueError, match=">= 0"):
        events.decode_message(msgspec.msgpack.encode({"worker": 1, "session": 1, "number": 1, "events": [event]}))
    assert events.decode_resync(events.encode_message(Resync(7))) == Resync(7)
