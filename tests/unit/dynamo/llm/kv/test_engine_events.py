"""KV events of the engine, old form and new."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.llm.kv.engine_events import AllCleared, BlocksRemoved, BlocksStored, decode_batch
from dynamo.llm.kv.events import Cleared, Removed, Stored
from dynamo.llm.kv.hashing import block_hashes, root_of
from dynamo.llm.kv.held_blocks import EngineBlocks, UnknownParent


def batch(*events, rank=0):
    return msgspec.msgpack.encode([1700000000.5, list(events), rank])


STORED = BlocksStored(hashes=(11, 12), parent=None, tokens=(1, 2, 3, 4), block_size=2)


def test_maps_and_tagged_arrays_say_the_same():
    """Today's maps and the arrays of 2025 give the same values."""
    today = batch(
        {
            "type": "BlockStored",
            "block_hashes": [11, 12],
            "parent_block_hash": None,
            "token_ids": [1, 2, 3, 4],
            "block_size": 2,
            "lora_id": None,
            "lora_name": None,
            "medium": "GPU",
            "extra_keys": [None, None],
            "group_idx": 0,
            "kv_cache_spec_kind": "full_attention",
        },
        {"type": "BlockRemoved", "block_hashes": [b"\x01"], "medium": "GPU"},
        {"type": "AllBlocksCleared"},
    )
    before = batch(
        ["BlockStored", [11, 12], None, [1, 2, 3, 4], 2, None], ["BlockRemoved", [b"\x01"]], ["AllBlocksCleared"]
    )
    removed, cleared = BlocksRemoved(hashes=(b"\x01",)), AllCleared()
    assert decode_batch(before) == [STORED, removed, cleared]
    stored, *rest = decode_batch(today)
    assert isinstance(stored, BlocksStored) and stored.extra == (None, None)
    assert rest == [removed, cleared]


def test_other_memory_groups_and_types_are_left_out():
    """Blocks in the host's memory or of another cache group say nothing about prefixes; unknown events are skipped."""
    assert (
        decode_batch(
            batch(
                {"type": "BlockRemoved", "block_hashes": [1], "medium": "CPU"},
                {"type": "BlockRemoved", "block_hashes": [1], "group_idx": 1},
                ["BlockRemoved", [1], "CPU"],
                {"type": "SomethingNew"},
                ["SomethingNew", 1],
            )
        )
        == []
    )


@given(st.binary(max_size=60) | st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_what_is_no_batch_is_a_value_error(payload):
    """Whatever arrives, nothing else is raised."""
    try:
        raw = payload if isinstance(payload, bytes) else msgspec.msgpack.encode([0, [payload], 0])
    except (OverflowError, UnicodeEncodeError):
        return
    try:
        assert isinstance(decode_batch(raw), list)
    except ValueError:
        pass


@pytest.mark.parametrize(
    "fields",
    [
        {"token_ids": [1]},
        {"token_ids": [1, 2, 3, "4"]},
        {"block_size": 0},
        {"block_size": None},
        {"parent_block_hash": "x"},
        {"block_hashes": 5},
        {"extra_keys": [None]},
    ],
)
def test_events_that_do_not_add_up_are_refused(fields):
    """Tokens, block size, hashes and extra keys have to fit each other."""
    good = {
        "type": "BlockStored",
        "block_hashes": [11, 12],
        "parent_block_hash": None,
        "token_ids": [1, 2, 3, 4],
        "block_size": 2,
    }
    with pytest.raises(ValueError):
        decode_batch(batch({**good, **fields}))


def test_engine_names_become_chained_hashes():
    """Children follow their parents whatever the engine calls them; removals are told in our names."""
    blocks = EngineBlocks(2)
    assert blocks.apply_event(STORED) == Stored(block_hashes([1, 2, 3, 4], 2))
    child = BlocksStored(hashes=(b"c",), parent=12, tokens=(5, 6), block_size=2)
    whole = block_hashes([1, 2, 3, 4, 5, 6], 2)
    assert blocks.apply_event(child) == Stored(whole[2:])
    assert blocks.apply_event(BlocksRemoved(hashes=(b"c", 99))) == Removed(whole[2:])
    assert sorted(blocks.list_hashes()) == sorted(whole[:2])
    adapted = BlocksStored(hashes=(20,), parent=None, tokens=(1, 2), block_size=2, adapter="a")
    assert blocks.apply_event(adapted) == Stored(block_hashes([1, 2], 2, parent=root_of("a")))
    assert blocks.apply_event(AllCleared()) == Cleared() and len(blocks) == 0


def test_lost_events_and_other_block_sizes_are_noticed():
    """A child without its parent means that events were lost; another block size means a wrong configuration."""
    blocks = EngineBlocks(2)
    with pytest.raises(UnknownParent, match="1 blocks follow"):
        blocks.apply_event(BlocksStored(hashes=(2,), parent=1, tokens=(1, 2), block_size=2))
    with pytest.raises(ValueError, match="blocks of 4 tokens, the router of 2"):
        blocks.apply_event(BlocksStored(hashes=(2,), parent=None, tokens=(1, 2, 3, 4), block_size=4))
