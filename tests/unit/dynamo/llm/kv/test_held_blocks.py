"""What a worker holds, as it tells it: prompts in their order, and what is before blocks that it removes."""

from __future__ import annotations

import random

import pytest

from dynamo.llm.kv.block_rows import count_common, cut_rows, is_anchor
from dynamo.llm.kv.events import Cleared, Removed
from dynamo.llm.kv.held_blocks import HASHES_A_REMOVAL, HeldBlocks, join_removals, split_removal

chance = random.Random(1)
CHAIN = [chance.getrandbits(64) for _ in range(300)]


def before(place: int) -> list[int]:
    """The blocks before that one, from the last anchor."""
    first = place - 1
    while first > 0 and not is_anchor(CHAIN[first]):
        first -= 1
    return CHAIN[first:place] if place else []


def test_prompts_stay_in_their_order():
    """Blocks that were told in a row come out in a row, and new ones of another prompt in their own."""
    held = HeldBlocks()
    held.store_blocks(CHAIN[:5])
    held.store_blocks([*CHAIN[:3], 1, 2])
    held.store_blocks(CHAIN[5:6])
    assert held.list_rows(0, 99) == [CHAIN[:5], [1, 2], CHAIN[5:6]]
    assert held.list_rows(1, 3) == [CHAIN[1:3]] and len(held) == 8
    held.clear_blocks()
    assert len(held) == 0 and held.list_rows(0, 9) == []


def test_a_removal_says_what_is_before_it():
    """In the order of the prompt whatever the order in which it is removed; what was never held is not told."""
    held = HeldBlocks()
    held.store_blocks(CHAIN)
    assert held.remove_blocks([7, *reversed(CHAIN[200:])]) == [Removed(CHAIN[200:], before(200))]
    assert held.remove_blocks(CHAIN[100:110]) == [Removed(CHAIN[100:110], before(100))]
    assert held.remove_blocks(CHAIN[110:111]) == [
        Removed(CHAIN[110:111], [])
    ]  # a hole is before it: its row begins there
    assert held.remove_blocks(CHAIN[:1]) == [Removed(CHAIN[:1], [])]
    assert held.remove_blocks(CHAIN[:1]) == []


def test_two_ends_of_one_prompt():
    """Of blocks that follow the same one each is told, one of them with what is before both."""
    held = HeldBlocks()
    held.store_blocks(CHAIN[:2])
    held.store_blocks([CHAIN[1], 1])
    held.store_blocks([CHAIN[1], 2])
    told = held.remove_blocks([2, 1, CHAIN[1]])
    assert sorted(event.hashes[-1] for event in told) == [1, 2]
    assert {key for event in told for key in event.hashes} == {1, 2, CHAIN[1]}
    assert all([*event.after, *event.hashes][:1] == CHAIN[:1] or is_anchor(event.after[0]) for event in told)


def test_block_by_block_from_the_end_is_one_removal():
    """As far as one is long enough; what does not fit together stays as it is."""
    held, both = HeldBlocks(), None
    held.store_blocks(CHAIN)
    for key in reversed(CHAIN[250:]):
        (event,) = held.remove_blocks([key])
        both = join_removals(both, event) or event
    assert both == Removed(CHAIN[250:], before(250))
    assert join_removals(both, Cleared()) is None and join_removals(None, both) is None
    assert join_removals(both, Removed(CHAIN[10:20], [])) is None
    assert join_removals(Removed([1] * HASHES_A_REMOVAL, CHAIN[:1]), Removed(CHAIN[:1], [])) is None


@pytest.mark.parametrize("size", [1, 7, 300])
def test_a_removal_in_parts(size):
    """Each part has what is before it, from the last anchor or from the start."""
    found = split_removal(Removed(CHAIN[50:], before(50)), size)
    assert [key for part in found for key in part.hashes] == CHAIN[50:]
    assert all(len(part.hashes) <= size for part in found)
    for part in found:
        place = CHAIN.index(part.hashes[0])
        assert part.after == CHAIN[place - len(part.after) : place]
        assert is_anchor(part.after[0]) or part.after[0] == before(50)[0]


def test_rows_begin_at_anchors():
    """A chain is cut before each, and nowhere else; rows are compared by the block."""
    heads, rows = cut_rows(CHAIN)
    assert b"".join(rows) == b"".join(cut_rows([key])[1][0] for key in CHAIN)
    assert heads == [key for place, key in enumerate(CHAIN) if not place or is_anchor(key)]
    assert cut_rows([]) == ([], [])
    one, other = cut_rows([1, 2, 3])[1], cut_rows([1, 2, 4, 5])[1]
    assert [count_common(a, b) for a, b in zip(one, other, strict=False)][:2] == [1, 1]
    assert count_common(b"".join(one), b"".join(other)) == 2
