"""Calls through a router, and streams that outlive their worker."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from dynamo.coordination.discovery import Instance, MemoryDiscovery
from dynamo.engines.batching import SimulationSettings
from dynamo.engines.engine import EngineRequest
from dynamo.engines.simulated import SimulatedEngine
from dynamo.engines.virtual_time import VirtualTimeLoop
from dynamo.llm.kv.publisher import KvEventPublisher, WorkerMetricsPublisher
from dynamo.llm.kv_routing.routed_client import RoutedClient
from dynamo.llm.kv_routing.router import RouterSettings
from dynamo.llm.kv_routing.routing_service import routing
from dynamo.messages import naming
from dynamo.rpc.memory import MemoryTransport
from dynamo.rpc.runtime import DistributedRuntime
from dynamo.rpc.server import Dispatcher
from dynamo.sdk.errors import BadRequest, Overloaded, RemoteError, Unavailable

PATH = naming.format_path("ns", "Worker", "generate")
SIZE = 4
ENGINE = SimulationSettings(block_size=SIZE, blocks=64, slots=8, pass_tokens=64)


def run(coroutine):
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)


def new_runtime():
    return DistributedRuntime(MemoryTransport(), MemoryDiscovery())


class Worker:
    """A simulated engine behind an endpoint; after `dies` steps it raises that instead of going on."""

    def __init__(self, runtime, number):
        self.runtime, self.number = runtime, number
        self.blocks = KvEventPublisher(runtime.events, "ns", "Worker", number, SIZE)
        self.metrics = WorkerMetricsPublisher(runtime.events, "ns", "Worker", number, self.blocks)
        self.engine = SimulatedEngine(ENGINE, on_events=self.blocks.publish, on_metrics=self.metrics.publish)
        self.asked = []
        self.dies = None
        self.error = Unavailable("gone")

    async def generate(self, request: EngineRequest):
        self.asked.append(request)
        count = 0
        async with contextlib.aclosing(self.engine.generate(request)) as steps:
            async for step in steps:
                if count == self.dies:
                    raise self.error
                count += 1
                yield step

    async def start(self):
        await self.blocks.start()
        await self.metrics.start()
        dispatcher = Dispatcher()
        dispatcher.add_method(PATH, "generate", self.generate)
        serving = await self.runtime.transport.serve(dispatcher)
        self.lease = await self.runtime.discovery.register(
            Instance(
                namespace="ns", component="Worker", id=self.number, address=serving.address, endpoints=("generate",)
            )
        )
        return self

    async def stop(self):
        await self.lease.close()
        await self.metrics.close()
        await self.blocks.close()


@contextlib.asynccontextmanager
async def graph(count=2, **more):
    runtime = new_runtime()
    workers = [await Worker(runtime, number + 1).start() for number in range(count)]
    service = await routing(runtime, "ns", "Worker", "generate", RouterSettings(block_size=SIZE))
    client = await runtime.namespace("ns").component("Worker").endpoint("generate").client()
    await service.ready(count)
    try:
        yield RoutedClient(service, client, **more), workers
    finally:
        await service.close()
        for worker in workers:
            await worker.stop()


def request(name="a", length=20, limit=8, **more):
    return EngineRequest(id=name, tokens=tuple(range(length)), max_tokens=limit, **more)


async def answer(client, asked):
    tokens, reason = [], None
    async for step in client.generate(asked):
        tokens += step.tokens
        reason = step.finish_reason
    return tokens, reason


async def alone(asked):
    steps = [step async for step in SimulatedEngine(ENGINE).generate(asked)]
    return [token for step in steps for token in step.tokens], steps[-1].finish_reason


def test_turns_of_one_talk_go_to_one_worker():
    """The second turn meets the first one's blocks, and the worker is told how many the router expects."""

    async def body():
        async with graph() as (client, workers):
            first, _ = await answer(client, request())
            await asyncio.sleep(0.1)
            again = EngineRequest(id="b", tokens=(*range(20), *first, 7, 7, 7, 7), max_tokens=4)
            steps = [step async for step in client.generate(again)]
            assert steps[0].cached_tokens == 24
            (met,) = [worker for worker in workers if len(worker.asked) == 2]
            assert met.asked[1].prefix_hit_rate == 24 / 32
            work = client.service.router.prediction.get_work(met.number)
            assert (work.requests, work.blocks, work.prefill_tokens) == (0, 0, 0)

    run(body())


@pytest.mark.parametrize("dies", [0, 1, 3, 7])
def test_a_stream_goes_on_elsewhere(dies):
    """Wherever a worker is lost, the answer is that of one worker: no token missing, none twice."""

    async def body():
        async with graph(3) as (client, workers):
            for worker in workers[:2]:
                worker.dies = dies
            for number in range(12):
                asked = EngineRequest(id=str(number), tokens=tuple(range(number, number + 20)), max_tokens=8)
                assert await answer(client, asked) == await alone(asked)
            assert sum(len(worker.asked) for worker in workers[:2]) > 1
            assert all(client.service.router.prediction.get_work(worker.number).requests == 0 for worker in workers)
            assert all(worker.engine.batcher.pool.active_blocks == 0 for worker in workers)

    run(body())


def test_a_closing_worker_hands_over():
    """An engine that ends its requests is no end of the answer."""

    async def body():
        async with graph(2) as (client, workers):
            gathered = asyncio.ensure_future(answer(client, request(limit=60)))
            await asyncio.sleep(0.15)
            (busy,) = [worker for worker in workers if worker.engine.batcher.is_busy]
            await busy.engine.close()
            assert await gathered == await alone(request(limit=60))

    run(body())


def test_what_cannot_go_on_is_an_error():
    """When the request's state is more than its tokens, a loss after the first token is told; before it, it is not."""

    async def body():
        async with graph(2, resumable=lambda asked: not asked.sampling.get("grammar")) as (client, workers):
            for worker in workers:
                worker.dies = 2
            with pytest.raises(Unavailable, match="gone"):
                await answer(client, request(sampling={"grammar": "json"}))
            workers[0].dies, workers[1].dies = 0, None
            assert await answer(client, request("c", sampling={"grammar": "json"})) == await alone(request("c"))

    run(body())


def test_there_is_an_end_to_it():
    """With all workers failing the last failure is raised; with none there, Unavailable."""

    async def body():
        async with graph(2, migrations=1) as (client, workers):
            for worker in workers:
                worker.dies, worker.error = 1, Overloaded("full")
            with pytest.raises(Overloaded, match="full"):
                await answer(client, request())
            assert sum(len(worker.asked) for worker in workers) == 2
            workers[0].error = workers[1].error = BadRequest("no")
            with pytest.raises(BadRequest):
                await answer(client, request("b"))
            assert sum(len(worker.asked) for worker in workers) == 3
            for worker in workers:
                await worker.lease.close()
            with pytest.raises(Unavailable, match="no worker is there"):
                await answer(client, request("c"))

    run(body())


def test_a_caller_that_leaves_frees_everything():
    """Closing the answer early ends the request in the worker and in the router's count."""

    async def body():
        async with graph(1) as (client, (worker,)):
            stream = client.generate(request(limit=60))
            await anext(stream)
            assert worker.engine.batcher.pool.active_blocks > 0
            await stream.aclose()
            await asyncio.sleep(0.5)
            assert worker.engine.batcher.pool.active_blocks == 0
            assert client.service.router.prediction.get_work(1).requests == 0

    run(body())


def test_an_answer_that_is_none():
    """A worker that yields something else is an error that says so."""

    async def body():
        runtime = new_runtime()
        dispatcher = Dispatcher()

        async def generate(request):
            yield {"text": "hello"}

        dispatcher.add_method(PATH, "generate", generate)
        serving = await runtime.transport.serve(dispatcher)
        await runtime.discovery.register(
            Instance(namespace="ns", component="Worker", id=1, address=serving.address, endpoints=("generate",))
        )
        service = await routing(runtime, "ns", "Worker", "generate", RouterSettings(mode="round-robin"))
        client = await runtime.namespace("ns").component("Worker").endpoint("generate").client()
        with pytest.raises(RemoteError, match="not a step"):
            await answer(RoutedClient(service, client), request())
        await service.close()

    run(body())
