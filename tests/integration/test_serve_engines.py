"""`dynamo serve` with an engine of another distribution, chosen by `engine:` in the configuration."""

from __future__ import annotations

import os

import pytest

from support.serving import gone

pytestmark = pytest.mark.nats

GRAPH = """
from dynamo.engines.serving import EngineWorker
from dynamo.llm import EngineRequest
from dynamo.sdk import api, async_on_shutdown, async_on_start, depends, dynamo_endpoint, service


@service(dynamo={"enabled": True})
class Worker:
    @async_on_start
    async def start(self):
        self.worker = await EngineWorker.start()

    @async_on_shutdown
    async def stop(self):
        await self.worker.close()

    @dynamo_endpoint
    async def count(self, request: dict):
        async for step in self.worker.generate(EngineRequest(id="r", tokens=(1,))):
            yield list(step.tokens)


@service
class Front:
    worker = depends(Worker)

    @api
    async def count(self):
        async for tokens in self.worker.count({}):
            yield str(tokens[0])
"""
ENGINE = """
from dynamo.engines.engine import EngineStep


class Countdown:
    def __init__(self, setup):
        self.first = int(setup.values["first"])

    async def generate(self, request):
        for number in range(self.first, 0, -1):
            yield EngineStep(tokens=(number,), finish_reason="stop" if number == 1 else None)

    async def close(self):
        pass
"""


def test_an_engine_of_another_distribution_serves(serve, tmp_path):
    """Found by its entry point in the worker's process; its tokens arrive over HTTP."""
    site = tmp_path / "site"
    info = site / "countdown_engine-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "countdown_engine.py").write_text(ENGINE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: countdown-engine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dynamo.engines]\ncountdown = countdown_engine:Countdown\n")
    one = serve(
        "graph:Front",
        "--port",
        "0",
        "--Worker.engine=countdown",
        "--Worker.first=3",
        code=GRAPH,
        module="graph",
        PYTHONPATH=os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]),
    ).ready()
    status, _, body = one.post("/count", "{}")
    assert (status, body.split()) == (200, ["3", "2", "1"]), one.said()
    assert one.stop() == 0
    gone(one)


def test_an_engine_that_nobody_provides_is_named(serve):
    """One line with the known engines, and the exit code of a graph that cannot start."""
    one = serve("graph:Front", "--port", "0", "--Worker.engine=countdwn", code=GRAPH, module="graph")
    assert one.process.wait(timeout=60) == 17
    assert "countdwn" in one.said() and "simulated" in one.said()
    assert "Traceback" not in one.said()
