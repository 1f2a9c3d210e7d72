"""Load at a chosen pace: how much goes through when all is asked at once, and a share of that held open-loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

TICK = 0.005


async def saturation(call: Callable[[], Awaitable[None]], callers: int, seconds: float) -> float:
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


async def held(call: Callable[[], Awaitable[None]], rate: float, seconds: float) -> int:
    """Call so often a second, whether earlier calls are answered or not; how many calls were under way at most."""
    running: set[asyncio.Task[None]] = set()
    begun, made, most = time.monotonic(), 0, 0

    async def one() -> None:
        await call()

    while (now := time.monotonic() - begun) < seconds:
        for _ in range(int(now * rate) - made):
            task = asyncio.ensure_future(one())
            running.add(task)
            task.add_done_callback(running.discard)
            made += 1
        most = max(most, len(running))
        await asyncio.sleep(TICK)
    await asyncio.gather(*running)
    return most
