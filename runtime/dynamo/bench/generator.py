"""Requests as they come: so many at a time, or so many a second whether or not the endpoint keeps up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass

from dynamo.bench.stream import Endpoint, Measured, send_request
from dynamo.bench.workloads import Talk


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`requests` in all; `rate` talks a second (0: `concurrency` at a time), spaced by chance or evenly; with `timed`
    each talk comes at the time it says.
    """

    requests: int = 100
    concurrency: int = 8
    rate: float = 0.0
    even: bool = False
    timed: bool = False
    seed: int = 1


async def run_load(
    endpoint: Endpoint, talks: Iterator[Talk], load: Load, on_answer: Callable[[Measured], None] = lambda one: None
) -> tuple[list[Measured], float]:
    """All answers in the order of their beginning, and the seconds it took."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    answers: list[Measured] = []
    left = load.requests

    async def have(talk: Talk) -> None:
        nonlocal left
        for turn in range(len(talk.turns)):
            if left <= 0:
                return
            left -= 1
            begun = loop.time() - start
            found = await send_request(endpoint, talk.build_messages(turn), talk.max_tokens)
            found.begun = begun
            answers.append(found)
            on_answer(found)
            if found.problem:
                return
            talk.add_answer(turn, found.text)

    async def serve() -> None:
        while left > 0:
            talk = next(talks, None)
            if talk is None:
                return
            await have(talk)

    if load.rate or load.timed:
        await _run_timed(have, talks, load, lambda: left > 0)
    else:
        await asyncio.gather(*(serve() for _ in range(max(1, load.concurrency))))
    return sorted(answers, key=lambda one: one.begun), loop.time() - start


def draw_arrivals(load: Load) -> Iterator[float]:
    """When talks come, in seconds from the beginning, without an end; the same for the same seed."""
    at, chance = 0.0, random.Random(load.seed)
    while True:
        at += 1 / load.rate if load.even else chance.expovariate(load.rate)
        yield at


async def _run_timed(
    have: Callable[[Talk], Coroutine[None, None, None]], talks: Iterator[Talk], load: Load, more: Callable[[], bool]
) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    running: set[asyncio.Task[None]] = set()
    timed = ((talk.at, talk) for talk in talks) if load.timed else zip(draw_arrivals(load), talks, strict=False)
    for at, talk in timed:
        await asyncio.sleep(max(0.0, start + at - loop.time()))
        running.add(asyncio.create_task(have(talk)))
        await asyncio.sleep(0)  # its first request is no longer left
        if not more():
            break
    await asyncio.gather(*running)
