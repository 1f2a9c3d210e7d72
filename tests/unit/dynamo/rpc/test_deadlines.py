"""Deadlines of many calls."""

from __future__ import annotations

import asyncio
import gc
import weakref

from dynamo.rpc.deadlines import get_deadlines
from support.waiting import eventually


class Call:
    """Something with a deadline."""

    def __init__(self) -> None:
        self.at = 0.0

    def on_expired(self) -> None:
        self.at = asyncio.get_running_loop().time()


async def test_they_end_in_time_and_not_before():
    """Each after its time; one that was lifted does not."""
    loop = asyncio.get_running_loop()
    all_of_them = get_deadlines(loop)
    assert get_deadlines(loop) is all_of_them
    begun = loop.time()
    calls = [Call() for _ in range(50)]
    numbers = [all_of_them.set_deadline(begun + 0.01 * index, call) for index, call in enumerate(calls)]
    all_of_them.lift_deadline(numbers[30], calls[30])
    await eventually(lambda: all(call.at for index, call in enumerate(calls) if index != 30))
    await asyncio.sleep(0.05)
    for index, call in enumerate(calls):
        if index == 30:
            assert call.at == 0.0
        else:
            assert call.at >= begun + 0.01 * index
    all_of_them.lift_deadline(numbers[0], calls[0])


async def test_what_ended_before_is_not_kept():
    """A deadline far away holds nothing that was lifted."""
    loop = asyncio.get_running_loop()
    call = Call()
    seen = weakref.ref(call)
    get_deadlines(loop).lift_deadline(get_deadlines(loop).set_deadline(loop.time() + 1000, call), call)
    del call
    gc.collect()
    assert seen() is None


def test_each_loop_has_its_own():
    """Loops one after the other do not share timers."""

    async def once() -> bool:
        loop, call = asyncio.get_running_loop(), Call()
        get_deadlines(loop).set_deadline(loop.time() + 0.01, call)
        await eventually(lambda: call.at)
        return call.at > 0

    assert [asyncio.run(once()) for _ in range(3)] == [True] * 3
