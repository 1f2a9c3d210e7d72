"""What every log of events and every queue does: the same suite in memory and on a real NATS server."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from dynamo.coordination.discovery import MemoryDiscovery
from dynamo.rpc.memory import MemoryTransport
from dynamo.rpc.runtime import DistributedRuntime, connect
from support.nats import binary, nats_server
from support.waiting import PATIENCE


@pytest.fixture(scope="module")
def server():
    with nats_server() as running:
        yield running


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.nats)])
async def runtime(request):
    if request.param == "memory":
        async with DistributedRuntime(MemoryTransport(), MemoryDiscovery()) as made:
            yield made
        return
    if not binary():
        pytest.skip("needs a nats-server")
    async with await connect({"NATS_SERVER": request.getfixturevalue("server").url}) as made:
        yield made


async def read(topic, count: int, after: int | None = 0) -> list:
    found = []
    async with asyncio.timeout(PATIENCE), aclosing(topic.follow(after)) as events:
        async for event in events:
            found.append(event)
            if len(found) == count:
                break
    return found


async def test_events_are_kept_and_followed(runtime, request):
    """A follower that comes later gets what was kept, in order, then what comes; numbers grow by one."""
    topic = runtime.events.topic("names pace", f"kv.{request.node.name}")
    assert await topic.publish({"block": 1}, key="worker 7/a") == 1
    assert await topic.publish(b"\x00raw") == 2
    reading = asyncio.ensure_future(read(topic, 4))
    await asyncio.sleep(0.2)
    for number in (3, 4):
        assert await topic.publish(number, key="b") == number
    events = await reading
    assert [(event.number, event.key, event.value) for event in events] == [
        (1, "worker 7/a", {"block": 1}),
        (2, "", b"\x00raw"),
        (3, "b", 3),
        (4, "b", 4),
    ]
    assert [event.number for event in await read(topic, 2, after=2)] == [3, 4]


async def test_events_from_now_on(runtime, request):
    """`None` leaves out what was published before."""
    topic = runtime.events.topic("n", request.node.name)
    await topic.publish("old")
    reading = asyncio.ensure_future(read(topic, 1, None))
    while not reading.done():
        await asyncio.sleep(0.05)
        await topic.publish("new")
    assert [event.value for event in await reading] == ["new"]


async def test_events_of_a_key_are_forgotten(runtime, request):
    """A key that is gone is not replayed to who comes later."""
    topic = runtime.events.topic("n", request.node.name)
    for number in range(6):
        await topic.publish(number, key="even" if number % 2 == 0 else "odd")
    await topic.forget("even")
    assert [event.value for event in await read(topic, 3)] == [1, 3, 5]


async def test_a_topic_keeps_as_many_as_it_was_told(runtime, request):
    """The oldest go first, and the numbers show it."""
    topic = runtime.events.topic("n", request.node.name, keep=3)
    for number in range(10):
        await topic.publish(number)
    assert [(event.number, event.value) for event in await read(topic, 3)] == [(8, 7), (9, 8), (10, 9)]


async def test_events_that_are_not_kept(runtime, request):
    """`keep=0` reaches those who follow now, and nobody later."""
    topic = runtime.events.topic("n", request.node.name, keep=0)
    assert await topic.publish("unheard") == 0
    reading = asyncio.ensure_future(read(topic, 2))
    while not reading.done():
        await asyncio.sleep(0.05)
        await topic.publish("a")
        await topic.publish("b", key="k")
    found = sorted((event.number, event.key, event.value) for event in await reading)
    assert found == [(0, "", "a"), (0, "k", "b")]


async def test_a_job_is_done_once(runtime, request):
    """Each job has one taker; a finished one is gone, and nothing comes out of an empty queue."""
    queue = runtime.queues.queue("n", request.node.name)
    for number in range(20):
        await queue.put({"number": number})
    taken: list[int] = []

    async def taker() -> None:
        while len(taken) < 20:
            if (job := await queue.take(timeout=0.4)) is None:
                continue
            assert job.attempt == 1
            taken.append(job.value["number"])
            await job.done()

    assert await queue.size() == 20
    await asyncio.gather(*(taker() for _ in range(3)))
    assert sorted(taken) == list(range(20))
    assert await queue.size() == 0
    assert await queue.take(timeout=0.1) is None


async def test_a_job_of_a_silent_taker_goes_to_the_next(runtime, request):
    """Patience ends, and the job is there again; `working` makes it begin anew."""
    queue = runtime.queues.queue("n", request.node.name, patience=2)
    await queue.put("job")
    first = await queue.take(PATIENCE)
    for _ in range(3):
        await asyncio.sleep(0.8)
        await first.working()
    assert await queue.take(timeout=0.1) is None
    second = await queue.take(PATIENCE)
    assert (second.value, second.attempt) == ("job", 2)
    await second.done()
    assert await queue.size() == 0


async def test_a_job_that_keeps_failing_is_set_aside(runtime, request):
    """It is given back until its attempts are used up; then it is among the dead, and can be revived."""
    queue = runtime.queues.queue("n", request.node.name, attempts=2)
    await queue.put("poison")
    await queue.put("good")
    seen = []
    while await queue.size():
        if (job := await queue.take(timeout=0.3)) is None:  # taking is what sets one aside
            continue
        seen.append((job.value, job.attempt))
        await (job.again() if job.value == "poison" else job.done())
    assert sorted(seen) == [("good", 1), ("poison", 1), ("poison", 2)]
    assert await queue.dead() == ["poison"]
    assert await queue.size() == 0
    assert await queue.revive() == 1
    assert await queue.dead() == []
    job = await queue.take(PATIENCE)
    assert (job.value, job.attempt) == ("poison", 1)
    await job.done()


async def test_a_job_can_wait(runtime, request):
    """A job given back with a delay is not there before."""
    queue = runtime.queues.queue("n", request.node.name)
    await queue.put("later")
    await (await queue.take(PATIENCE)).again(delay=2)
    assert await queue.take(timeout=0.1) is None
    assert (await queue.take(PATIENCE)).attempt == 2


async def test_a_key_is_put_once(runtime, request):
    """A second job of the same key is not added."""
    queue = runtime.queues.queue("n", request.node.name)
    await queue.put(1, key="request-1")
    await queue.put(2, key="request-1")
    await queue.put(3, key="request-2")
    assert await queue.size() == 2
