"""Routed streams while workers, the router and the NATS server are killed at random: every answer is exact."""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
import sys
from pathlib import Path

import pytest

from dynamo.engines.engine import EngineRequest
from dynamo.engines.simulated import SimulatedEngine
from dynamo.llm.kv_routing.routed_client import RoutedClient
from dynamo.llm.kv_routing.router import RouterSettings
from dynamo.llm.kv_routing.routing_service import routing
from dynamo.rpc.runtime import connect
from support import simulated_worker
from support.effort import points
from support.nats import binary, nats_server

pytestmark = pytest.mark.skipif(not binary(), reason="needs nats-server")
TESTS = Path(simulated_worker.__file__).parent.parent


class Graph:
    """Workers in processes of their own, and a router in this one."""

    def __init__(self, server):
        self.server, self.workers, self.count = server, {}, 0
        self.client = None

    def add(self):
        self.count += 1
        program = [sys.executable, "-m", "support.simulated_worker", self.server.url, str(self.count), "1"]
        process = subprocess.Popen(program, stdout=subprocess.PIPE, cwd=TESTS)
        assert process.stdout.readline() == b"ready\n"
        self.workers[self.count] = process

    def kill(self, number):
        process = self.workers.pop(number)
        process.kill()
        process.wait()
        process.stdout.close()


@contextlib.asynccontextmanager
async def router(runtime):
    settings = RouterSettings(block_size=16)
    service = await routing(runtime, "ns", "Worker", "generate", settings)
    client = await runtime.namespace("ns").component("Worker").endpoint("generate").client()
    try:
        yield RoutedClient(service, client, migrations=12)
    finally:
        await service.close()


async def alone(asked):
    engine = SimulatedEngine(simulated_worker.SETTINGS, speed=10_000)
    return [token async for step in engine.generate(asked) for token in step.tokens]


async def ask(graph, number, chance):
    start = chance.randrange(6) * 1000
    length = chance.randint(20, 300)
    asked = EngineRequest(
        id=f"r{number}", tokens=tuple(range(start, start + length)), max_tokens=chance.randint(20, 90)
    )
    made = [token async for step in graph.client.generate(asked) for token in step.tokens]
    assert made == await alone(asked), asked.id


@pytest.mark.parametrize("seed", range(points(1, 20)))
async def test_every_answer_is_exact(seed):
    """Streams run all the time; meanwhile a worker is killed and replaced, the router starts anew, NATS goes away."""
    chance = random.Random(seed)
    with nats_server() as server:
        graph = Graph(server)
        try:
            for _ in range(3):
                graph.add()
            async with await connect({"NATS_SERVER": server.url}) as runtime, contextlib.AsyncExitStack() as closing:
                graph.client = await closing.enter_async_context(router(runtime))
                assert await graph.client.service.ready(3, 20)
                for turn in range(points(4, 12)):
                    streams = [asyncio.ensure_future(ask(graph, f"{turn}.{n}", chance)) for n in range(8)]
                    await asyncio.sleep(chance.uniform(0.05, 0.4))
                    fault = chance.choice(["worker", "worker", "router", "nats"])
                    if fault == "worker":
                        graph.kill(chance.choice(list(graph.workers)))
                        await asyncio.to_thread(graph.add)
                    elif fault == "router":
                        # The old one ends its streams; new requests go to the new one, which knows nothing yet.
                        graph.client = await closing.enter_async_context(router(runtime))
                        streams.append(asyncio.ensure_future(ask(graph, f"{turn}.new", chance)))
                    else:
                        server.stop(kill=True)
                        await asyncio.sleep(chance.uniform(0.1, 1.0))
                        server.start()
                    await asyncio.gather(*streams)
                async with asyncio.timeout(30):
                    while not graph.client.service.feed.complete or graph.client.service.router.prediction._open:
                        await asyncio.sleep(0.1)
        finally:
            for number in list(graph.workers):
                graph.kill(number)
