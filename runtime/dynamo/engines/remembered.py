"""Prompts in the memory of llama.cpp: in slots, each the last one that it computed, or in a cache behind them."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from dynamo.llm.kv.events import KvEvent, Removed, Stored

MOST = 0.67
"""The part of a slot that a prompt must begin with to be given it before the least recently used one. A new talk should
not take the slot of one that began with the same words, since what that one said would be gone.
"""
ANY = -1
"""The slot that llama.cpp chooses. Source: `id_slot` of its server's completions."""

KEPT = 1 << 16
"""Blocks that a second cache may have. More than it has does no harm: what is not held is computed in one piece."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a prompt is computed, how many of its first blocks are held there, and what is not held any more."""

    slot: int
    blocks: int
    events: list[KvEvent] = field(default_factory=list)


class Memory(Protocol):
    """Which slot a prompt is given, and what is held since it was computed."""

    def take_slot(self, hashes: Sequence[int]) -> Place:
        """A slot for a prompt, by its chained block hashes. There is a free one."""

    def release_slot(self, slot: int, hashes: Sequence[int]) -> list[KvEvent]:
        """A slot is free again and holds this prompt with its answer."""


class _Blocks:
    """How many prompts have each block."""

    def __init__(self) -> None:
        self._users: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._users)

    def __contains__(self, key: int) -> bool:
        return key in self._users

    def count_unshared(self, hashes: Sequence[int]) -> int:
        """How many of these are in one prompt only."""
        return sum(self._users[key] == 1 for key in hashes)

    def add_prompt(self, hashes: Sequence[int]) -> list[KvEvent]:
        new = [key for key in hashes if key not in self._users]
        self._users.update(hashes)
        return [Stored(new)] if new else []

    def drop_prompt(self, hashes: Sequence[int]) -> list[KvEvent]:
        gone = []
        for key in hashes:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key]
                gone.append(key)
        return [Removed(gone)] if gone else []


class Slots:
    """Slots that are chosen here: what is told of them is what they hold."""

    def __init__(self, count: int) -> None:
        self._blocks = _Blocks()
        self._held: dict[int, Sequence[int]] = dict.fromkeys(range(count), ())
        # The one that was least recently used first.
        self._free = list(range(count))

    def take_slot(self, hashes: Sequence[int]) -> Place:
        """The slot whose prompt goes on with this one, the one in use last where there are several; else one that holds
        little that others do not, else the least recently used. What follows the part that both have in common is gone.
        """
        depths = {slot: _common_prefix(self._held[slot], hashes) for slot in self._free}
        alike = [slot for slot in reversed(self._free) if 0 < len(self._held[slot]) * MOST <= depths[slot]]
        spare = (slot for slot in self._free if self._is_copy(self._held[slot]))
        chosen = max(alike, key=depths.__getitem__) if alike else next(spare, self._free[0])
        self._free.remove(chosen)
        held, depth = self._held[chosen], depths[chosen]
        self._held[chosen] = held[:depth]
        return Place(chosen, depth, self._blocks.drop_prompt(held[depth:]))

    def _is_copy(self, held: Sequence[int]) -> bool:
        return self._blocks.count_unshared(held) <= len(held) * (1 - MOST)

    def release_slot(self, slot: int, hashes: Sequence[int]) -> list[KvEvent]:
        """What was computed is held, and what was held before is not, as far as it differs."""
        held = self._held[slot]
        self._held[slot] = hashes
        self._free.append(slot)
        stored = self._blocks.add_prompt(hashes)
        return [*self._blocks.drop_prompt(held), *stored]


class SecondCache:
    """Slots that llama.cpp chooses, with a cache in memory for what leaves them. Routers are told of `told` blocks, the
    least recently used prompts are forgotten first; the cache may still have what was not told of for long.
    """

    def __init__(self, told: int, kept: int = KEPT) -> None:
        self._told, self._kept = _Recent(told), _Recent(kept)

    def take_slot(self, hashes: Sequence[int]) -> Place:
        """Any slot, and what may be held: llama.cpp looks up the first piece, which must not end before that."""
        return Place(ANY, self._kept.count_held(hashes))

    def release_slot(self, slot: int, hashes: Sequence[int]) -> list[KvEvent]:
        """The prompt is held, in place of one that it goes on with."""
        self._kept.add_prompt(hashes)
        return self._told.add_prompt(hashes)


class _Recent:
    """The prompts that were used last, as many as fit into so many blocks."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._blocks = _Blocks()
        # By their last block; the one that was least recently used first.
        self._prompts: dict[int, Sequence[int]] = {}

    def count_held(self, hashes: Sequence[int]) -> int:
        """How many of the first blocks of a prompt."""
        return bisect_left(range(len(hashes)), True, key=lambda place: hashes[place] not in self._blocks)

    def add_prompt(self, hashes: Sequence[int]) -> list[KvEvent]:
        """A prompt was used: what is held since then, and what is not any more."""
        if not hashes:
            return []
        stored, gone = self._blocks.add_prompt(hashes), []
        before = next((key for key in reversed(hashes) if key in self._prompts), None)
        if before is not None:
            gone += self._blocks.drop_prompt(self._prompts.pop(before))
        self._prompts[hashes[-1]] = hashes
        while len(self._prompts) > 1 and len(self._blocks) > self._total:
            gone += self._blocks.drop_prompt(self._prompts.pop(next(iter(self._prompts))))
        return [*gone, *stored]


def _common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """How many blocks two prompts begin with in common; a hash that is the same stands for all before it."""
    return bisect_left(range(min(len(one), len(other))), True, key=lambda place: one[place] != other[place])


class Turns:
    """Of those who wait for a place the one with the least number is next; equal numbers go by who came first."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def take_place(self, number: float) -> AsyncIterator[None]:
        """Have a place, as soon as there is one."""
        if self._free:
            self._free -= 1
        else:
            given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (number, next(self._order), given))
            try:
                await given
            except asyncio.CancelledError:
                # Given and cancelled in one turn of the loop: nobody else would hear of the place.
                if given.done() and not given.cancelled():
                    self._release_place()
                raise
        try:
            yield
        finally:
            self._release_place()

    def _release_place(self) -> None:
        while self._waiting:
            _, _, given = heapq.heappop(self._waiting)
            if not given.done():
                given.set_result(None)
                return
        self._free += 1
