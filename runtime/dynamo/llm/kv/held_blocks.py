"""The blocks that one worker holds: by the engine's names and by ours, and in the order of their prompts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from dynamo.llm.kv.block_rows import is_anchor
from dynamo.llm.kv.engine_events import AllCleared, BlocksRemoved, BlocksStored, EngineEvent, EngineHash
from dynamo.llm.kv.events import Cleared, KvEvent, Removed, Stored
from dynamo.llm.kv.hashing import block_hashes, root_of

HASHES_A_REMOVAL = 512


class HeldBlocks:
    """The blocks of a worker by their hashes, each with the one before it as far as the worker said."""

    def __init__(self) -> None:
        self._before: dict[int, int | None] = {}

    def __len__(self) -> int:
        return len(self._before)

    def store_blocks(self, hashes: Sequence[int]) -> None:
        """These are held now, each following the one before it."""
        for key, before in zip(hashes, [None, *hashes], strict=False):
            if before is not None or key not in self._before:
                self._before[key] = before

    def remove_blocks(self, hashes: Iterable[int]) -> list[Removed]:
        """These are held no more: what routers are told, each block in a row with those that follow it."""
        held = self._before
        gone = dict.fromkeys(key for key in hashes if key in held)
        following = {held[key]: key for key in gone if held[key] in gone}
        found = []
        for key in gone:
            before: int | None = held[key]
            if before in gone and following[before] == key:
                continue
            row, after, then = [key], list[int](), following.get(key)
            while then is not None:
                row.append(then)
                then = following.get(then)
            while before is not None and before in held:
                after.append(before)
                before = None if is_anchor(before) else held[before]
            found.append(Removed(row, after[::-1]))
        for key in gone:
            del held[key]
        return found

    def clear_blocks(self) -> None:
        """Nothing is held."""
        self._before.clear()

    def list_rows(self, start: int, end: int) -> list[list[int]]:
        """Some of the blocks, in rows."""
        found: list[list[int]] = []
        for key, before in islice(self._before.items(), start, end):
            if found and found[-1][-1] == before:
                found[-1].append(key)
            else:
                found.append([key])
        return found


def join_removals(last: object, event: object) -> Removed | None:
    """Two removals in one, when the second is of what is before the first: engines forget the ends of prompts first."""
    if (
        isinstance(event, Removed)
        and isinstance(last, Removed)
        and last.after
        and event.hashes[-1] == last.after[-1]
        and len(last.hashes) < HASHES_A_REMOVAL
    ):
        return Removed(event.hashes + last.hashes, event.after)
    return None


def split_removal(event: Removed, size: int) -> list[Removed]:
    """A removal in several of so many blocks at most, each with what is before it."""
    chain, before = [*(event.after or ()), *event.hashes], len(event.after or ())
    found = []
    for start in range(before, len(chain), size):
        first = start
        while first and not (first < start and is_anchor(chain[first])):
            first -= 1
        found.append(Removed(chain[start : start + size], chain[first:start]))
    return found


class UnknownParent(LookupError):
    """A stored event follows a block that nobody has heard of: events were lost."""


class EngineBlocks:
    """Engine hash to chained hash of one engine. The engine's own names need not be ours, nor stable, nor shared."""

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self._chained: dict[EngineHash, int] = {}

    def __len__(self) -> int:
        return len(self._chained)

    def list_hashes(self) -> list[int]:
        """The chained hashes of all blocks."""
        return list(self._chained.values())

    def apply_event(self, event: EngineEvent) -> KvEvent:
        """Take note of an engine's event; the same for routers.

        Raises UnknownParent after lost events, ValueError for blocks of another size than the router's.
        """
        if isinstance(event, BlocksStored):
            return self._apply_stored(event)
        if isinstance(event, BlocksRemoved):
            gone = [self._chained.pop(key, None) for key in event.hashes]
            return Removed([chained for chained in gone if chained is not None])
        assert isinstance(event, AllCleared)
        self._chained.clear()
        return Cleared()

    def _apply_stored(self, event: BlocksStored) -> Stored:
        if event.block_size != self.block_size:
            raise ValueError(f"the engine has blocks of {event.block_size} tokens, the router of {self.block_size}")
        if event.parent is None:
            parent = root_of(event.adapter)
        elif event.parent in self._chained:
            parent = self._chained[event.parent]
        else:
            raise UnknownParent(f"{len(event.hashes)} blocks follow one that was never stored")
        chained = block_hashes(event.tokens, event.block_size, parent=parent, extra=event.extra)
        self._chained.update(zip(event.hashes, chained, strict=True))
        return Stored(chained)
