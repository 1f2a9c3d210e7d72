"""A Router service is killed under streams: they go on through another one, and come out as if nothing had been."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal

import pytest

from dynamo.bench.stream import Endpoint, send_request
from support.hello import ROOT
from support.nats import binary
from support.serving import Serve
from support.waiting import eventually

pytestmark = pytest.mark.skipif(not binary(), reason="needs nats-server")
ARGUMENTS = (
    "graphs.agg_router:Frontend",
    "-f",
    "configs/laptop/agg_router.yaml",
    "--port",
    "0",
    "--Common.model=bytes",
    "--Common.max-model-len=20000",
    "--VllmWorker.engine=simulated",
    "--VllmWorker.ServiceArgs.workers=2",
    "--Router.ServiceArgs.workers=2",
    "--Router.min-workers=2",
    "--Frontend.served_model_name=m",
)


@pytest.fixture
def served(tmp_path):
    shutil.copytree(ROOT / "examples/llm", tmp_path / "llm", ignore=shutil.ignore_patterns("__pycache__"))
    running = Serve(tmp_path / "llm", *ARGUMENTS).ready()
    yield running
    running.stop()


async def answers(endpoint, count, limit):
    prompts = [[{"role": "user", "content": f"{number} " + "tell me more " * (20 + number)}] for number in range(count)]
    return await asyncio.gather(*(send_request(endpoint, prompt, limit) for prompt in prompts))


def lives(served):
    """The processes that the first router has been, in their order."""
    return [int(pid) for pid in re.findall(r"Router:1\W.*ready after .*? process (\d+)", served.said())]


async def test_streams_outlive_their_router(served):
    """Eight streams over two routers; one is killed in the middle; every answer is whole, and the same as before."""
    endpoint = Endpoint(url=f"http://127.0.0.1:{served.port}", model="m", timeout=60)
    before = await answers(endpoint, 8, 200)
    assert [one.problem for one in before] == [""] * 8
    assert [one.output_tokens for one in before] == [200] * 8
    assert len({one.text for one in before}) > 1
    kills = 0
    while "goes on elsewhere" not in served.said():  # it may have had no stream, where this process stood still
        running = asyncio.ensure_future(answers(endpoint, 8, 200))
        await asyncio.sleep(0.7)
        await eventually(lambda: len(lives(served)) > kills, served.said)
        os.kill(lives(served)[kills], signal.SIGKILL)
        kills += 1
        during = await running
        assert [one.problem for one in during] == [""] * 8
        assert [one.output_tokens for one in during] == [200] * 8
        assert [one.text for one in during] == [one.text for one in before]
