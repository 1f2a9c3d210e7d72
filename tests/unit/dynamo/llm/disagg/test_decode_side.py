"""Prompts prefilled by workers of their own, and everything that can go wrong with that."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from dynamo.coordination.queues import MemoryQueues
from dynamo.coordination.topics import MemoryEvents
from dynamo.engines.batching import SimulationSettings
from dynamo.engines.engine import EngineRequest
from dynamo.engines.simulated import SimulatedEngine
from dynamo.engines.virtual_time import VirtualTimeLoop
from dynamo.llm.disagg.decode_side import DisaggregatedEngine, RemotePrefill
from dynamo.llm.disagg.jobs import ATTEMPTS, PrefillJob, prefill_queue
from dynamo.llm.disagg.policy import DisaggregatedRouter, DisaggSettings, set_thresholds
from dynamo.llm.disagg.prefill_side import PrefillLoop
from dynamo.llm.kv.events import Stored
from dynamo.sdk.errors import Unavailable

ENGINE = SimulationSettings(block_size=16, blocks=256, pass_tokens=256)
RULE = DisaggSettings(max_local_prefill_length=100, max_prefill_queue_size=2)


def run(coroutine):
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)


class Graph:
    """One decode worker, and prefill workers as they are started."""

    def __init__(self, **more):
        self.events, self.queues = MemoryEvents(), MemoryQueues()
        self.engine = SimulatedEngine(ENGINE)
        self.remote = RemotePrefill(
            self.events, self.queues, "ns", "model", 7, DisaggregatedRouter(RULE), patience=30, **more
        )
        self.decode = DisaggregatedEngine(self.engine, self.remote)
        self.queue = prefill_queue(self.queues, "ns", "model")

    async def __aenter__(self):
        await self.remote.start()
        await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *failure):
        await self.remote.close()

    @contextlib.asynccontextmanager
    async def prefill_worker(self, engine=None, number=1):
        loop = PrefillLoop(self.events, self.queues, "ns", "model", number, engine or SimulatedEngine(ENGINE))
        await loop.start()
        try:
            yield loop
        finally:
            await loop.close()

    async def answer(self, asked):
        return [step async for step in self.decode.generate(asked)]


def request(name="a", length=200, **more):
    return EngineRequest(id=name, tokens=tuple(range(length)), max_tokens=5, **more)


async def alone(asked):
    return [token async for step in SimulatedEngine(ENGINE).generate(asked) for token in step.tokens]


def tokens(steps):
    return [token for step in steps for token in step.tokens]


def test_long_prompts_go_away_and_come_back_computed():
    """The decode worker prefills nothing but the last token, and answers the same as alone."""

    async def body():
        async with Graph() as graph, graph.prefill_worker() as worker:
            loop = asyncio.get_running_loop()
            steps = await graph.answer(request())
            assert tokens(steps) == await alone(request())
            assert steps[0].cached_tokens == 199
            assert (worker.done, graph.remote.counts) == (1, {"local": 0, "remote": 1, "failed": 0})
            assert await graph.queue.size() == 0
            before = loop.time()
            short = await graph.answer(request("b", 90))
            assert short[0].cached_tokens == 80  # from the blocks that came before
            hit = await graph.answer(request("c", prefix_hit_rate=0.96))
            assert len(tokens(hit)) == 5
            assert worker.done == 1 and graph.remote.counts["local"] == 2
            assert loop.time() - before < 0.2
            stored = [event for event in graph.engine.batcher.pool.drain_events() if isinstance(event, Stored)]
            assert not stored  # they were told as they came

    run(body())


def test_the_queue_is_not_filled_beyond_its_bound():
    """With as many prompts waiting as allowed, the next is prefilled here."""

    async def body():
        async with Graph() as graph:
            waiting = [asyncio.ensure_future(graph.answer(request(name))) for name in "abc"]
            await asyncio.sleep(1)
            assert await graph.queue.size() == 2
            assert graph.remote.counts["local"] == 1
            async with graph.prefill_worker():
                for answer in await asyncio.gather(*waiting):
                    assert tokens(answer) == await alone(request())

    run(body())


def test_nobody_prefills():
    """A prompt that nobody takes in time is prefilled here; the job is stale and costs the next worker nothing."""

    async def body():
        async with Graph() as graph:
            assert tokens(await graph.answer(request())) == await alone(request())
            assert graph.remote.counts == {"local": 0, "remote": 0, "failed": 1}
            stale = PrefillJob(7, 1.0, request("old"))
            await graph.queue.put(stale)
            async with graph.prefill_worker() as worker:
                await asyncio.sleep(1)
                assert await graph.queue.size() == 0
                assert worker.done == 1  # the first one's patience is in wall time, which did not pass

        async with Graph(prefill_workers=lambda: 0) as graph:
            await graph.answer(request())
            assert graph.remote.counts["local"] == 1

    run(body())


class Dying(SimulatedEngine):
    """Takes prompts and never ends them."""

    async def generate(self, request):
        await asyncio.sleep(1000)
        yield


class Failing(SimulatedEngine):
    """Fails on what is poisoned."""

    async def generate(self, request):
        if request.tokens[0] == 13:
            raise RuntimeError("illegal memory access")
        async for step in super().generate(request):
            yield step


def test_a_prefill_worker_dies():
    """Its prompt is given to the next one."""

    async def body():
        async with Graph() as graph:
            answer = asyncio.ensure_future(graph.answer(request()))
            async with graph.prefill_worker(Dying(ENGINE)):
                await asyncio.sleep(1)
            async with graph.prefill_worker(number=2) as worker:
                assert tokens(await answer) == await alone(request())
                assert worker.done == 1 and graph.remote.counts["remote"] == 1

    run(body())


def test_a_poisoned_prompt():
    """It is tried a few times, then set aside among the dead; the decode worker goes on by itself, and so do others."""

    async def body():
        async with Graph() as graph, graph.prefill_worker(Failing(ENGINE)) as worker:
            poisoned = EngineRequest(id="p", tokens=tuple(range(13, 213)), max_tokens=5)
            first, second = await asyncio.gather(graph.answer(poisoned), graph.answer(request()))
            assert tokens(first) == await alone(poisoned) and tokens(second) == await alone(request())
            assert graph.remote.counts == {"local": 0, "remote": 1, "failed": 1}
            await asyncio.sleep(1)
            (dead,) = await graph.queue.dead()
            assert dead["request"]["id"] == "p"
            assert await graph.queue.size() == 0 and worker.done == 1
            await graph.queue.put({"nonsense": 1})
            await asyncio.sleep(ATTEMPTS)
            assert len(await graph.queue.dead()) == 2
            assert tokens(await graph.answer(request("later"))) == await alone(request())

    run(body())


def test_no_broker():
    """When the queue cannot be reached, or is lost between the question and the prompt, the prefill is here."""

    class Gone:
        asked = 0

        async def size(self):
            self.asked += 1
            if self.asked == 1:
                raise Unavailable("no NATS server")
            return 0

        async def put(self, value, key=""):
            raise Unavailable("no NATS server")

    async def body():
        async with Graph() as graph:
            graph.remote._queue = Gone()
            for name in "ab":
                assert tokens(await graph.answer(request(name))) == await alone(request())
                await asyncio.sleep(1)
            assert graph.remote.counts == {"local": 1, "remote": 0, "failed": 1}

    run(body())


def test_thresholds_change_while_it_runs():
    """All decode workers take them, also one that starts later; nonsense is refused where it is said."""

    async def body():
        async with Graph() as graph, graph.prefill_worker():
            await set_thresholds(graph.events, "ns", "model", {"max-local-prefill-length": 10})
            await asyncio.sleep(0.1)
            await graph.answer(request(length=20))
            assert graph.remote.counts["remote"] == 1
            late = RemotePrefill(graph.events, graph.queues, "ns", "model", 8)
            await late.start()
            await asyncio.sleep(0.1)
            assert late.router.settings.max_local_prefill_length == 10
            await graph.events.topic("ns", "prefill.model.thresholds", keep=1).publish({"depth": "deep"})
            await asyncio.sleep(0.1)
            assert late.router.settings.max_local_prefill_length == 10
            await late.close()
            with pytest.raises(ValueError, match="not a threshold"):
                await set_thresholds(graph.events, "ns", "model", {"depth": 1})

    run(body())


def test_a_caller_that_leaves():
    """While the prompt is prefilled elsewhere the caller goes: nothing waits for the answer, nothing is held."""

    async def body():
        async with Graph() as graph:
            answer = asyncio.ensure_future(graph.answer(request()))
            await asyncio.sleep(0.5)
            answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)
            assert not graph.remote._waiting
            async with graph.prefill_worker():
                await asyncio.sleep(1)
            assert graph.engine.batcher.pool.active_blocks == 0

    run(body())
