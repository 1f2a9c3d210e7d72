"""Who is next."""

from __future__ import annotations

import asyncio
import random

from dynamo.engines.remembered import Turns
from support.waiting import PATIENCE


async def settle() -> None:
    """Let all that can go on go on."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_least_is_next() -> None:
    """Not who came first; of equal ones who came first."""
    turns, order = Turns(1), []

    async def one(name: str, number: float) -> None:
        async with turns.take_place(number):
            order.append(name)
            await asyncio.sleep(0)

    async with turns.take_place(0):
        waiting = [asyncio.create_task(one(name, number)) for name, number in (("b", 2), ("c", 3), ("a", 1), ("b2", 2))]
        await settle()
        assert order == []
    await asyncio.gather(*waiting)
    assert order == ["a", "b", "b2", "c"]


async def test_who_leaves_the_queue_takes_no_place() -> None:
    """Neither one that waits, nor one that was given its place and cancelled before it had it."""
    turns = Turns(1)

    async def one() -> None:
        async with turns.take_place(0):
            pass

    holding = turns.take_place(0)
    await holding.__aenter__()
    first, second = asyncio.create_task(one()), asyncio.create_task(one())
    await settle()
    first.cancel()
    await settle()
    await holding.__aexit__(None, None, None)
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert first.cancelled() and second.cancelled()
    async with asyncio.timeout(PATIENCE):
        await one()


async def test_never_more_than_there_are_places() -> None:
    """Whoever fails or is cancelled, and in whatever order."""
    chance, turns, inside, most = random.Random(1), Turns(3), 0, 0

    async def one(number: int) -> None:
        nonlocal inside, most
        async with turns.take_place(chance.random()):
            inside += 1
            most = max(most, inside)
            try:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                if number % 7 == 0:
                    raise ValueError(number)
            finally:
                inside -= 1

    tasks = [asyncio.create_task(one(number)) for number in range(200)]
    for task in tasks[::5]:
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (inside, most) == (0, 3)
    async with turns.take_place(0), turns.take_place(0), turns.take_place(0):
        pass
