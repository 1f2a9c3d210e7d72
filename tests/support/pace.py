"""Load at a chosen pace: how much goes through when all is asked at once, and half of that held open-loop.

What a machine carries changes with what else it does, so a long hold measures it again every MINUTE, and does not
pile up more than WAITING calls; what was left out is told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

TICK = 0.005
MINUTE = 60.0
WAITING = 2000
Call = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """`saturations` in calls a second as measured, `made` calls at half of them, `left_out` for want of room."""

    saturations: tuple[float, ...]
    made: int
    left_out: int
    most: int

    def __str__(self) -> str:
        low, high = min(self.saturations), max(self.saturations)
        return (
            f"counted {self.made} calls at half of {low:.0f} to {high:.0f} calls/s, {self.left_out} left out, "
            f"{self.most} at once at most"
        )


async def saturation(call: Call, callers: int, seconds: float) -> float:
    """Calls a second of so many callers, each calling again as soon as it is answered."""
    done = 0
    begun = time.monotonic()

    async def caller() -> None:
        nonlocal done
        while time.monotonic() - begun < seconds:
            await call()
            done += 1

    await asyncio.gather(*(caller() for _ in range(callers)))
    return done / (time.monotonic() - begun)


async def half(call: Call, callers: int, seconds: float) -> Held:
    """Call half as often as it can be called, whether earlier calls are answered or not."""
    running: set[asyncio.Task[None]] = set()
    saturations: list[float] = []
    made = left_out = most = 0

    async def one() -> None:
        await call()

    end = time.monotonic() + seconds
    while (begun := time.monotonic()) < end:
        saturations.append(await saturation(call, callers, min(2.0, seconds / 4)))
        begun, rate, due = time.monotonic(), saturations[-1] / 2, 0
        while (now := time.monotonic()) < min(end, begun + MINUTE):
            wanted = int((now - begun) * rate) - due
            due += wanted
            room = min(wanted, WAITING - len(running))
            left_out += wanted - room
            for _ in range(room):
                task = asyncio.ensure_future(one())
                running.add(task)
                task.add_done_callback(running.discard)
            made += room
            most = max(most, len(running))
            await asyncio.sleep(TICK)
        await asyncio.gather(*running)
    return Held(saturations=tuple(saturations), made=made, left_out=left_out, most=most)
