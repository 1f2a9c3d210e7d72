"""Remote prefill over a real NATS server, with prefill workers that die and a server that goes away."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from dynamo.engines.engine import EngineRequest
from dynamo.engines.simulated import SimulatedEngine
from dynamo.llm.disagg import jobs
from dynamo.llm.disagg.decode_side import DisaggregatedEngine, RemotePrefill
from dynamo.llm.disagg.policy import DisaggregatedRouter, DisaggSettings
from dynamo.llm.disagg.thresholds import set_thresholds
from dynamo.rpc.runtime import connect
from integration import prefill_process
from support.nats import binary, nats_server
from support.simulated_worker import SETTINGS
from support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.skipif(not binary(), reason="needs nats-server")
TESTS = Path(prefill_process.__file__).parent.parent
RULE = DisaggSettings(max_local_prefill_length=100, max_prefill_queue_size=20)


class Graph:
    """A decode worker in this process, prefill workers in theirs."""

    def __init__(self, runtime, url, patience):
        self.runtime, self.url, self.processes = runtime, url, []
        self.remote = RemotePrefill(
            runtime.events, runtime.queues, "ns", "model", 7, DisaggregatedRouter(RULE), patience=patience
        )
        self.decode = DisaggregatedEngine(SimulatedEngine(SETTINGS, speed=100), self.remote)
        self.queue = jobs.prefill_queue(runtime.queues, "ns", "model")

    def start(self, speed=100.0):
        program = [sys.executable, "-m", "integration.prefill_process", self.url, "1", str(speed)]
        process = subprocess.Popen(program, stdout=subprocess.PIPE, cwd=TESTS)
        self.processes.append(process)
        assert process.stdout.readline() == b"ready\n"
        return process

    async def answer(self, asked):
        return [token async for step in self.decode.generate(asked) for token in step.tokens]


@contextlib.asynccontextmanager
async def graph(patience=25.0):
    with nats_server() as server:
        async with await connect({"NATS_SERVER": server.url}) as runtime:
            made = Graph(runtime, server.url, patience)
            await made.remote.start()
            made.server = server
            try:
                yield made
            finally:
                await made.remote.close()
                for process in made.processes:
                    process.kill()
                    process.wait()
                    process.stdout.close()


def request(name, start=100, length=300):
    return EngineRequest(id=name, tokens=tuple(range(start, start + length)), max_tokens=6)


async def alone(asked):
    return [token async for step in SimulatedEngine(SETTINGS, speed=1000).generate(asked) for token in step.tokens]


async def test_prefilled_elsewhere_until_told_otherwise():
    """The blocks come from the other process; with another threshold, set live, they do not."""
    async with graph() as made:
        made.start()
        assert await made.answer(request("a")) == await alone(request("a"))
        assert made.remote.counts == {"local": 0, "remote": 1, "failed": 0}
        assert await made.queue.size() == 0
        await set_thresholds(made.runtime.events, "ns", "model", {"max_local_prefill_length": 500})
        await eventually(lambda: made.remote.router.settings.max_local_prefill_length == 500)
        assert await made.answer(request("b")) == await alone(request("b"))
        assert made.remote.counts == {"local": 1, "remote": 1, "failed": 0}


async def test_a_prefill_worker_is_killed():
    """Its prompt goes to another one, and the answer is complete."""
    async with graph() as made:
        slow = made.start(speed=0.0001)
        answers = [asyncio.ensure_future(made.answer(request(name))) for name in "ab"]
        await asyncio.sleep(0.7)
        slow.kill()
        made.start()
        assert await asyncio.gather(*answers) == [await alone(request("a"))] * 2
        assert made.remote.counts == {"local": 0, "remote": 2, "failed": 0}


async def test_a_prompt_that_kills():
    """It ends three prefill workers and no more; then it is among the dead, and was answered here."""
    async with graph(patience=8.0) as made:
        poisoned = asyncio.ensure_future(made.answer(request("p", start=13)))
        for _ in range(jobs.ATTEMPTS):
            victim = made.start()
            assert await asyncio.to_thread(victim.wait, PATIENCE) == 9
        assert await poisoned == await alone(request("p", start=13))
        assert made.remote.counts["failed"] == 1
        survivor = made.start()
        async with asyncio.timeout(PATIENCE):
            while not (dead := await made.queue.dead()):
                await asyncio.sleep(0.1)
        assert dead[0]["request"]["id"] == "p"
        assert await made.answer(request("b")) == await alone(request("b"))
        assert survivor.poll() is None


async def test_nats_goes_away():
    """Prompts are prefilled here meanwhile, and elsewhere again when it is back."""
    async with graph(patience=3.0) as made:
        made.start()
        made.server.stop(kill=True)
        assert await made.answer(request("a")) == await alone(request("a"))
        assert made.remote.counts["remote"] == 0
        made.server.start()
        async with asyncio.timeout(PATIENCE):
            number = 0
            while made.remote.counts["remote"] == 0:
                number += 1
                assert await made.answer(request(f"b{number}")) == await alone(request("b"))
