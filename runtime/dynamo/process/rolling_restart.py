"""A rolling restart: one worker after the other, each new one ready before the old one is told to end."""

from __future__ import annotations

import math
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence

from dynamo.process.worker_process import Slot

PATIENCE_SECONDS = 120.0
"""How long a new worker may take until it is ready."""
DRAIN_SECONDS = 25.0
"""How long an old worker may take to end its running requests."""


class Replacing:
    """Replaces the workers in `waiting`; call `turn` after each turn of the supervisor's loop until it gives False.

    A worker that holds GPUs ends before the new one starts, since both would not fit. When a new worker fails, the old
    one stays and the rest is left as it is.
    """

    def __init__(
        self, waiting: Sequence[Slot], start: Callable[[Slot], None], say: Callable[[str], None], leaving: list[Slot]
    ) -> None:
        self._waiting = deque(waiting)
        self._start = start
        self._say = say
        self._leaving = leaving
        self._old: Slot | None = None
        self._new: Slot | None = None
        self._until = 0.0

    def advance_restart(self, slots: list[Slot]) -> bool:
        """Go on; `slots` gets the new worker in the old one's place. False when all is done, or one failed."""
        if self._old is None:
            while self._waiting and self._waiting[0] not in slots:
                self._waiting.popleft()
            if not self._waiting:
                return False
            self._old = self._waiting.popleft()
            self._until = time.monotonic() + PATIENCE_SECONDS
            if self._old.environment:
                self._retire_slot(slots, self._old)
            else:
                self._new = self._old.create_successor()
                self._start(self._new)
            return True
        if self._new is None:
            if self._old.pid:
                return True
            successor = next(slot for slot in slots if slot.label == self._old.label)
            self._start(successor)
            self._new = successor
            return True
        if self._new.ready:
            if self._new not in slots:
                self._retire_slot(slots, self._old, self._new)
            if self._old.pid:
                return True
            self._say(f"`{self._old.label}` is replaced")
            self._old = self._new = None
            return True
        if not self._new.pid or time.monotonic() > self._until:
            self._say(f"`{self._old.label}` is not replaced: the new one {self._describe_failure(self._new)}")
            self._new.send_signal(signal.SIGKILL, group=True)
            if self._new not in slots and self._new.pid:
                self._leaving.append(self._new)
            return False
        return True

    def get_unfinished(self) -> Slot | None:
        """The new worker that is not in its place yet."""
        return self._new

    def _retire_slot(self, slots: list[Slot], old: Slot, new: Slot | None = None) -> None:
        if new is None:
            new = old.create_successor()
            new.retry_at = math.inf  # not before the old one let go of its devices
        slots[slots.index(old)] = new
        old.ending = True
        old.retry_at = time.monotonic() + DRAIN_SECONDS
        self._leaving.append(old)
        old.send_signal(signal.SIGTERM)

    def _describe_failure(self, slot: Slot) -> str:
        return "is not ready in time" if slot.pid else f"ended: {slot.last_words()}"
