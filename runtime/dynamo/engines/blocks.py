"""The KV blocks of a simulated engine: in use, kept for later, or free."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dynamo.llm.kv.events import KvEvent, Removed, Stored


class BlockPool:
    """Blocks are counted, not held. A full block has its chained hash for a name and can be shared; when nobody uses
    it any more it is kept until its room is needed, the one that was least recently used first.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._loose = 0
        self._used: dict[int, int] = {}
        self._kept: dict[int, None] = {}
        self._events: list[KvEvent] = []

    @property
    def active_blocks(self) -> int:
        """Blocks that requests use."""
        return self._loose + len(self._used)

    @property
    def free_blocks(self) -> int:
        """Blocks that can be had, those kept for later included."""
        return self.total - self.active_blocks

    def list_hashes(self) -> list[int]:
        """The hashes of all full blocks, in use or kept."""
        return [*self._used, *self._kept]

    def count_prefix(self, hashes: Iterable[int]) -> int:
        """How many blocks from the start of a prompt are here."""
        depth = 0
        for key in hashes:
            if key not in self._used and key not in self._kept:
                break
            depth += 1
        return depth

    def count_kept(self, hashes: Iterable[int]) -> int:
        """How many of these are kept and unused: using them takes that many from what is free."""
        return sum(1 for key in hashes if key in self._kept)

    def share_blocks(self, hashes: Iterable[int]) -> None:
        """Use these full blocks, which are here."""
        for key in hashes:
            if key in self._kept:
                del self._kept[key]
                self._used[key] = 1
            else:
                self._used[key] += 1

    def take_blocks(self, count: int) -> bool:
        """Have that many empty blocks; False, and nothing, when there are not enough."""
        if count > self.free_blocks:
            return False
        self._loose += count
        over = self.active_blocks + len(self._kept) - self.total
        if over > 0:
            oldest: list[int] = []
            for key in self._kept:
                if len(oldest) == over:
                    break
                oldest.append(key)
            for key in oldest:
                del self._kept[key]
            self._events.append(Removed(oldest))
        return True

    def fill_blocks(self, hashes: Sequence[int]) -> None:
        """So many of the empty blocks are full now, and these are their names."""
        new: list[int] = []
        for key in hashes:
            self._loose -= 1
            if key in self._used or key in self._kept:
                self.share_blocks([key])  # somebody else computed the same: one of the two is given back
                self._record_stored(new)
                new = []
            else:
                self._used[key] = 1
                new.append(key)
        self._record_stored(new)

    def _record_stored(self, new: list[int]) -> None:
        if new:
            self._events.append(Stored(new))

    def release_blocks(self, hashes: Sequence[int], loose: int) -> None:
        """A request ended: it used these full blocks and so many others. The ends of prompts are forgotten first."""
        self._loose -= loose
        for key in reversed(hashes):
            if self._used[key] > 1:
                self._used[key] -= 1
            else:
                del self._used[key]
                self._kept[key] = None

    def drain_events(self) -> list[KvEvent]:
        """What happened since the last call."""
        events, self._events = self._events, []
        return events
