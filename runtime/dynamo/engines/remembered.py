"""What llama.cpp's slots hold: each the last prompt that it computed, with its answer."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from dynamo.llm.kv_events import KvEvent, Removed, Stored

SIMILAR = 0.67
"""The share of a prompt that a slot must hold to be given it before all others, where there is no second cache: a new
talk should not take the slot of one that began with the same words, since what that one said would be gone.
"""


class Remembered:
    """Prompts as their chained block hashes, the one that was least recently used first.

    There are `slots` of them; with a second cache, which keeps what leaves a slot, as many as fit into `blocks`.
    Source: how llama.cpp's server chooses a slot: the most similar prompt, else the least recently used one.
    """

    def __init__(self, slots: int, blocks: int, *, second_cache: bool) -> None:
        self.blocks = blocks
        self._slots = slots
        self._second_cache = second_cache
        self._prompts: list[Sequence[int]] = []
        self._users: Counter[int] = Counter()

    def add(self, hashes: Sequence[int]) -> list[KvEvent]:
        """A prompt with its answer was computed: what is held since then, and what is not any more."""
        if not hashes:
            return []
        new = [key for key in hashes if key not in self._users]
        self._users.update(hashes)
        gone = self._drop(self._overwritten(hashes))
        self._prompts.append(hashes)
        while len(self._prompts) > 1 and self._full():
            gone += self._drop(0)
        return [*(Removed(keys) for keys in gone), *([Stored(new)] if new else [])]

    def _full(self) -> bool:
        return len(self._users) > self.blocks if self._second_cache else len(self._prompts) > self._slots

    def _overwritten(self, hashes: Sequence[int]) -> int | None:
        """The place of the prompt that the new one took the slot of."""
        depths = [_common(prompt, hashes) for prompt in self._prompts]
        place = max(range(len(depths)), key=depths.__getitem__, default=None)
        if place is None:
            return None
        kept = depths[place] == len(self._prompts[place])
        similar = depths[place] > SIMILAR * len(hashes) and not self._second_cache
        return place if kept or similar else None

    def _drop(self, place: int | None) -> list[list[int]]:
        if place is None:
            return []
        gone = []
        for key in self._prompts.pop(place):
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key]
                gone.append(key)
        return [gone] if gone else []


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many blocks two prompts begin with in common; a hash that is the same stands for all before it."""
    return bisect_left(range(min(len(one), len(other))), True, key=lambda place: one[place] != other[place])
