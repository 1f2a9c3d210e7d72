"""A planner in a served graph: workers are added and taken away while it answers."""

from __future__ import annotations

import json
import time

import pytest

from dynamo.process import control_socket
from dynamo.sdk import running
from support.nats import binary
from support.waiting import PATIENCE

pytestmark = pytest.mark.skipif(not binary(), reason="needs nats-server")
GRAPH = """
from dynamo.llm import ForwardPassMetrics, WorkerMetricsPublisher
from dynamo.llm.planner.planner_service import planner
from dynamo.sdk import api, async_on_start, depends, dynamo_context, endpoint, service


@service(dynamo={"namespace": "demo"})
class Worker:
    usage = 0.95

    @async_on_start
    async def start(self):
        place = dynamo_context["runtime"].events, "demo", "Worker", dynamo_context["instance_id"]
        self.metrics = WorkerMetricsPublisher(*place)
        await self.metrics.start()
        self.metrics.publish(ForwardPassMetrics(gpu_cache_usage_perc=0.95))

    @endpoint()
    async def use(self, share: float) -> float:
        self.metrics.publish(ForwardPassMetrics(gpu_cache_usage_perc=share))
        return share


@service(dynamo={"namespace": "demo"})
class Planner:
    worker = depends(Worker)

    @async_on_start
    async def start(self):
        values = {"interval-seconds": 1, "observe-seconds": 0.3, "gpus": 3}
        self.planner = await planner(dynamo_context["runtime"], "demo", "Worker", "", "m", values)


@service(dynamo={"namespace": "demo"})
class Frontend:
    worker = depends(Worker)
    planner = depends(Planner)

    @async_on_start
    async def start(self):
        component = dynamo_context["runtime"].namespace("demo").component("Worker")
        self.client = await component.endpoint("use").client()

    @api()
    async def use(self, share: float) -> int:
        ids = self.client.instance_ids()
        for number in ids:
            await self.client.direct(share, number)
        return len(ids)
"""


def test_a_graph_grows_and_shrinks(serve):
    """Full workers get others beside them, up to the bound; idle ones go, down to one; nothing fails meanwhile."""
    started = serve("graph:Frontend", "--port", "0", files={"graph.py": GRAPH}).ready()

    def until(share, count):
        limit = time.monotonic() + PATIENCE
        while True:
            status, _, body = started.post("/use", json.dumps({"share": share}))
            if status == 200 and int(body) == count:
                return
            assert time.monotonic() < limit, (status, body, started.said()[-2000:])
            time.sleep(0.2)

    until(0.95, 3)
    time.sleep(2.5)
    assert "3 GPUs are the bound" in started.said() or "`Worker` has 4" not in started.said()
    until(0.01, 1)
    assert "`Worker` has 3 workers, 2 before" in started.said()
    assert "`Worker` has 1 worker, 2 before" in started.said()
    folder = running.locate_folder({"XDG_RUNTIME_DIR": str(started.runtime)})
    (path,) = folder.glob(f"*{running.CONTROL}")

    def ask(**request):
        with control_socket.connect_control(path) as connection:
            connection.sendall(json.dumps({"do": "scale", **request}).encode() + b"\n")
            return connection.makefile().read().strip()

    assert ask(service="Worker", workers=0) == "error: 0 is not a valid number of workers; give 1 to 256"
    assert ask(service="Nobody", workers=2) == "error: no service `Nobody` runs here"
    assert ask(service="Frontend", workers=2).startswith("error: `Frontend` has HTTP routes")
    assert started.stop() == 0
    assert not started.processes()
