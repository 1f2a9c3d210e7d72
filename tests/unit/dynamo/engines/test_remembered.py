"""What llama.cpp's slots are said to hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dynamo.engines.remembered import Remembered
from dynamo.llm.hashing import block_hashes
from dynamo.llm.kv_events import KvEvent, Removed, Stored


def hashes(text: str) -> list[int]:
    """A block for each character."""
    return block_hashes([ord(letter) for letter in text], 1)


def told(events: list[KvEvent]) -> tuple[list[int], list[int]]:
    """What was stored, and what was removed."""
    stored = [key for event in events if isinstance(event, Stored) for key in event.hashes]
    return stored, [key for event in events if isinstance(event, Removed) for key in event.hashes]


def test_a_talk_stays_in_its_slot() -> None:
    """Its next turn takes the same one, and adds what is new; the other slot keeps what it had."""
    held = Remembered(2, 100, second_cache=False)
    assert told(held.add(hashes("other"))) == (hashes("other"), [])
    assert told(held.add(hashes("abcdef"))) == (hashes("abcdef"), [])
    assert told(held.add(hashes("abcdefgh"))) == (hashes("abcdefgh")[6:], [])
    assert told(held.add(hashes("abcdefxy"))) == (hashes("abcdefxy")[6:], hashes("abcdefgh")[6:])
    assert told(held.add(hashes("other!"))) == (hashes("other!")[5:], [])


def test_a_new_talk_takes_the_oldest_slot() -> None:
    """Also when it begins with the same words as a talk in another one; what both have is held until both are gone."""
    held = Remembered(2, 100, second_cache=False)
    held.add(hashes("sys-one"))
    held.add(hashes("sys-two"))
    assert told(held.add(hashes("sys-new-and-long"))) == (hashes("sys-new-and-long")[4:], hashes("sys-one")[4:])
    assert told(held.add(hashes("x"))) == (hashes("x"), hashes("sys-two")[4:])
    assert told(held.add(hashes("y"))) == (hashes("y"), hashes("sys-new-and-long"))


def test_nothing_is_told_of_less_than_a_block() -> None:
    """A prompt without a full block has no name."""
    assert Remembered(1, 1, second_cache=False).add([]) == []


def test_a_second_cache_holds_what_left_its_slot() -> None:
    """So many blocks are told of, not so many prompts."""
    held = Remembered(1, 10, second_cache=True)
    held.add(hashes("abcd"))
    assert told(held.add(hashes("efgh"))) == (hashes("efgh"), [])
    assert told(held.add(hashes("ijkl"))) == (hashes("ijkl"), hashes("abcd"))


@given(
    st.lists(st.text("ab", max_size=6), max_size=30),
    st.integers(1, 4),
    st.integers(6, 20),
    st.booleans(),
)
def test_what_was_told_is_what_is_held(prompts: list[str], slots: int, blocks: int, second_cache: bool) -> None:
    """Nothing is stored twice or removed unheld; the last prompt is held whole, and the bounds hold."""
    held, known = Remembered(slots, blocks, second_cache=second_cache), set[int]()
    for prompt in prompts:
        stored, removed = told(held.add(hashes(prompt)))
        assert len(set(stored)) == len(stored) and not known & set(stored)
        known |= set(stored)
        assert set(removed) <= known and len(set(removed)) == len(removed)
        known -= set(removed)
        assert set(hashes(prompt)) <= known
        assert len(known) <= (blocks if second_cache else slots * 6)
