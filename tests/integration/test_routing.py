"""Routing over a real NATS server, with workers that are killed and a server that goes away."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from dynamo.engines.engine import EngineRequest
from dynamo.engines.simulated import SimulatedEngine
from dynamo.llm.kv.hashing import block_hashes
from dynamo.llm.kv_routing.routed_client import RoutedClient
from dynamo.llm.kv_routing.router import RouterSettings
from dynamo.llm.kv_routing.routing_service import routing
from dynamo.rpc.runtime import connect
from support import simulated_worker
from support.nats import binary, nats_server
from support.waiting import eventually

pytestmark = pytest.mark.skipif(not binary(), reason="needs nats-server")
SETTINGS = RouterSettings(block_size=16)


@pytest.fixture
def server():
    with nats_server() as running:
        yield running


@pytest.fixture
def start(server):
    """Starts a worker process."""
    started = []

    def begin(number, speed=1.0):
        program = [sys.executable, "-m", "support.simulated_worker", server.url, str(number), str(speed)]
        process = subprocess.Popen(program, stdout=subprocess.PIPE, cwd=Path(simulated_worker.__file__).parent.parent)
        started.append(process)
        assert process.stdout.readline() == b"ready\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@contextlib.asynccontextmanager
async def routed(server, workers=2):
    async with await connect({"NATS_SERVER": server.url}) as runtime:
        service = await routing(runtime, "ns", "Worker", "generate", SETTINGS)
        client = await runtime.namespace("ns").component("Worker").endpoint("generate").client()
        assert await service.ready(workers, 10)
        try:
            yield RoutedClient(service, client)
        finally:
            await service.close()


def request(name, start=0, length=64, limit=8):
    return EngineRequest(id=name, tokens=tuple(range(start, start + length)), max_tokens=limit)


async def answer(client, asked):
    return [token async for step in client.generate(asked) for token in step.tokens]


async def alone(asked):
    engine = SimulatedEngine(simulated_worker.SETTINGS, speed=1000)
    return [token async for step in engine.generate(asked) for token in step.tokens]


async def test_prefixes_stay_with_their_worker(server, start):
    """Events of real processes reach the router, and a router that starts later knows the same."""
    start(1)
    start(2)
    async with routed(server) as client:
        chosen = {}
        for stem in range(6):
            await answer(client, request(f"{stem}", stem * 1000))
            index = client.service.router.index
            await eventually(lambda index=index: sum(map(index.blocks_of, index.workers)) >= 4 * (stem + 1))
        async with routed(server) as late:
            for router in (client, late):
                for stem in range(6):
                    decision = router.service.router.decide(range(stem * 1000, stem * 1000 + 64), [1, 2], hashes(stem))
                    assert decision.overlap_blocks == 4
                    assert chosen.setdefault(stem, decision.worker) == decision.worker
            assert late.service.replicas.other_count == 1


def hashes(stem):
    return block_hashes(range(stem * 1000, stem * 1000 + 64), 16)


async def test_a_worker_is_killed_in_mid_stream(server, start):
    """kill -9: every stream goes on with the other worker, and no token is missing or doubled."""
    workers = {1: start(1), 2: start(2)}
    async with routed(server) as client:
        asked = [request(f"r{number}", number * 1000, limit=120) for number in range(6)]
        streams = [asyncio.ensure_future(answer(client, one)) for one in asked]
        prediction = client.service.router.prediction
        await eventually(lambda: sum(prediction.get_work(number).requests for number in workers) == 6)
        work = {number: prediction.get_work(number).requests for number in workers}
        victim = max(work, key=work.__getitem__)
        assert work[victim] >= 3
        await asyncio.sleep(0.3)
        workers[victim].kill()
        assert await asyncio.gather(*streams) == [await alone(one) for one in asked]
        assert all(client.service.router.prediction.get_work(number).requests == 0 for number in workers)
        start(3)
        await eventually(lambda: set(client.service._workers()) == {3 - victim, 3})


async def test_nats_goes_away_and_comes_back(server, start):
    """Streams go on without it; afterwards the router learns what happened meanwhile."""
    start(1)
    async with routed(server, 1) as client:
        stream = asyncio.ensure_future(answer(client, request("a", limit=150)))
        await asyncio.sleep(0.3)
        server.stop(kill=True)
        during = await answer(client, request("b", 5000))
        assert during == await alone(request("b", 5000))
        await asyncio.sleep(1.0)
        server.start()
        assert await stream == await alone(request("a", limit=150))
        await eventually(lambda: client.service.router.index.blocks_of(1) >= (64 + 150) // 16 + 4)
        assert await answer(client, request("c", 5000)) == during
