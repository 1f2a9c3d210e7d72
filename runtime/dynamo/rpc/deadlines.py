"""Deadlines of many calls at once: one timer of the loop for all that end in the same hundredth of a second."""

from __future__ import annotations

import asyncio
from typing import Protocol
from weakref import WeakKeyDictionary

SLOTS_A_SECOND = 100
FAR = 1e10
"""A time of the loop that never comes; numbers from other processes may be over it."""


class Limited(Protocol):
    """What a deadline ends."""

    def on_expired(self) -> None:
        """The time is up."""


class Deadlines:
    """The deadlines on one event loop. Setting and lifting one costs a set's `add` and `discard`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, set[Limited]] = {}

    def set_deadline(self, until: float, limited: Limited) -> int:
        """Tell it when that time of the loop has come, or a hundredth later; the number to lift it by."""
        if not until < FAR:
            return 0
        number = int(until * SLOTS_A_SECOND) + 1
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = set()
            self._loop.call_at(number / SLOTS_A_SECOND, self._expire_slot, number)
        slot.add(limited)
        return number

    def lift_deadline(self, number: int, limited: Limited) -> None:
        """It ended before."""
        slot = self._slots.get(number)
        if slot is not None:
            slot.discard(limited)

    def _expire_slot(self, number: int) -> None:
        for limited in self._slots.pop(number, ()):
            limited.on_expired()


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Deadlines] = WeakKeyDictionary()
_latest: tuple[asyncio.AbstractEventLoop | None, Deadlines | None] = (None, None)


def get_deadlines(loop: asyncio.AbstractEventLoop) -> Deadlines:
    """Those of the loop."""
    global _latest
    known, found = _latest
    if known is not loop or found is None:
        found = _of_loops.get(loop)
        if found is None:
            found = _of_loops[loop] = Deadlines(loop)
        _latest = (loop, found)
    return found
