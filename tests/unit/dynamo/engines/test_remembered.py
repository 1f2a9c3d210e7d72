"""What llama.cpp is said to hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dynamo.engines.remembered import ANY, SecondCache, Slots
from dynamo.llm.kv.events import KvEvent, Removed, Stored
from dynamo.llm.kv.hashing import block_hashes


def hashes(text: str) -> list[int]:
    """A block for each character."""
    return block_hashes([ord(letter) for letter in text], 1)


def told(events: list[KvEvent]) -> tuple[list[int], list[int]]:
    """What was stored, and what was removed."""
    stored = [key for event in events if isinstance(event, Stored) for key in event.hashes]
    return stored, [key for event in events if isinstance(event, Removed) for key in event.hashes]


def put(memory: Slots | SecondCache, text: str) -> tuple[int, int, list[int], list[int]]:
    """Compute a prompt: the slot, what was held of it, what is told as stored and as removed."""
    place = memory.take_slot(hashes(text))
    stored, removed = told([*place.events, *memory.release_slot(place.slot, hashes(text))])
    return place.slot, place.blocks, stored, removed


def test_a_talk_stays_in_its_slot() -> None:
    """Its next turn takes the same one, and adds what is new; the other slot keeps what it had."""
    slots = Slots(2)
    assert put(slots, "other") == (0, 0, hashes("other"), [])
    assert put(slots, "abcdef") == (1, 0, hashes("abcdef"), [])
    assert put(slots, "abcdefgh") == (1, 6, hashes("abcdefgh")[6:], [])
    assert put(slots, "abcdefxy") == (1, 6, hashes("abcdefxy")[6:], hashes("abcdefgh")[6:])
    assert put(slots, "other, and much more") == (0, 5, hashes("other, and much more")[5:], [])


def test_a_new_talk_takes_the_oldest_slot() -> None:
    """Also when it begins with the same words as a talk in another one; what both have is held until both are gone."""
    slots = Slots(2)
    put(slots, "sys-one")
    put(slots, "sys-two")
    assert put(slots, "sys-new-and-long") == (0, 4, hashes("sys-new-and-long")[4:], hashes("sys-one")[4:])
    assert put(slots, "x") == (1, 0, hashes("x"), hashes("sys-two")[4:])
    assert put(slots, "y") == (0, 0, hashes("y"), hashes("sys-new-and-long"))


def test_a_slot_in_use_is_nobody_elses() -> None:
    """The same prompt twice at once is in two slots; what the second one held is gone as soon as it is taken."""
    slots = Slots(2)
    put(slots, "gone")
    first, again = slots.take_slot(hashes("same")), None
    again = slots.take_slot(hashes("same"))
    assert (first.slot, again.slot) == (1, 0)
    assert told(again.events) == ([], hashes("gone"))
    assert told(slots.release_slot(first.slot, hashes("same"))) == (hashes("same"), [])
    assert told(slots.release_slot(again.slot, hashes("sa"))) == ([], [])
    assert slots.take_slot(hashes("same!")).slot == first.slot


def test_copies_make_room_first() -> None:
    """A beginning that was asked for twice at once is in two slots: it is kept in one, the others are as before."""
    slots = Slots(3)
    put(slots, "another talk")
    first, second = slots.take_slot(hashes("long beginning, a")), slots.take_slot(hashes("long beginning, b"))
    for place, text in ((first, "long beginning, a"), (second, "long beginning, b")):
        slots.release_slot(place.slot, hashes(text))
    for end in "cde":
        assert put(slots, f"long beginning, {end}")[:2] == (second.slot, 16)
    assert put(slots, "new")[0] == first.slot
    assert put(slots, "another talk, which goes on")[:2] == (0, 12)


def test_a_request_that_was_given_up_leaves_what_it_computed() -> None:
    """No more is said to be held."""
    slots = Slots(1)
    put(slots, "abcd")
    place = slots.take_slot(hashes("abcdefgh"))
    assert told(slots.release_slot(place.slot, hashes("abcde"))) == (hashes("abcde")[4:], [])
    assert slots.take_slot(hashes("abcdefgh")).blocks == 5


def test_nothing_is_told_of_less_than_a_block() -> None:
    """A prompt without a full block has no name."""
    for memory in (Slots(1), SecondCache(1)):
        assert put(memory, "")[2:] == ([], [])


def test_a_second_cache_holds_what_left_its_slot() -> None:
    """So many blocks are told of, not so many prompts; llama.cpp chooses the slot."""
    memory = SecondCache(10)
    assert put(memory, "abcd") == (ANY, 0, hashes("abcd"), [])
    assert put(memory, "efgh") == (ANY, 0, hashes("efgh"), [])
    assert put(memory, "abcdi") == (ANY, 4, hashes("abcdi")[4:], [])
    assert put(memory, "jklm") == (ANY, 0, hashes("jklm"), hashes("efgh"))
    # Routers are told that this one is gone; the cache may have it.
    assert put(memory, "efghi") == (ANY, 4, hashes("efghi"), hashes("abcdi"))


@given(
    st.lists(st.tuples(st.text("ab", max_size=6), st.integers(0, 6)), max_size=30),
    st.integers(1, 4),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_what_was_told_is_what_is_held(prompts, count, second_cache, chance) -> None:
    """Nothing is stored twice or removed unheld, the bounds hold, and of slots what is told is what they hold."""
    memory = SecondCache(20) if second_cache else Slots(count)
    known, held, running = set[int](), dict[int, list[int]](), list[tuple[int, list[int]]]()

    def hear(events: list[KvEvent]) -> None:
        stored, removed = told(events)
        assert len(set(removed)) == len(removed) and set(removed) <= known
        known.difference_update(removed)
        assert len(set(stored)) == len(stored) and not known & set(stored)
        known.update(stored)

    def leave() -> None:
        slot, kept = running.pop(chance.randrange(len(running)))
        held[slot] = kept
        hear(memory.release_slot(slot, kept))

    for text, computed in prompts:
        if len(running) == count:
            leave()
        place = memory.take_slot(hashes(text))
        hear(place.events)
        if not second_cache:
            assert place.slot not in {slot for slot, _ in running}
            assert hashes(text)[: place.blocks] == held.get(place.slot, [])[: place.blocks]
            held[place.slot] = hashes(text)[: place.blocks]
            assert known == {key for keys in held.values() for key in keys}
        running.append((place.slot, hashes(text)[: max(place.blocks, computed)]))
    while running:
        leave()
    if second_cache:
        assert len(known) <= 20
    else:
        assert known == {key for keys in held.values() for key in keys}
