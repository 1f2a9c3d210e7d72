"""Each option of `dynamo serve`, by what it does to the graph that runs."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from support import nvml
from support.nats import nats_server
from support.serving import gone

pytestmark = pytest.mark.nats

GRAPH = """
import os, sys
from dynamo.sdk import api, depends, dynamo_endpoint, liveness, service
from dynamo.sdk.lib.config import ServiceConfig

@service(dynamo={"enabled": True, "namespace": "n"}, resources={"gpu": 1}, workers=2,
         envs=[{"name": "A", "value": "decorator"}, {"name": "B", "value": "decorator"}])
class Worker:
    def __init__(self, greeting: str = "constructor", count: int = 1, other: float = 0.5):
        self.values = [greeting, count, other]

    @dynamo_endpoint
    async def tell(self, request: dict):
        return {"values": self.values, "config": ServiceConfig.get_instance().get("Worker", {}), "cwd": os.getcwd(),
                "A": os.environ.get("A"), "B": os.environ.get("B"), "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
                "common": ServiceConfig.get_instance().get_parsed_config("Worker").get("shared"),
                "address": list(Worker.dynamo_address())}

@service
class Front:
    worker = depends(Worker)

    @liveness
    def alive(self):
        return True

    @api
    async def tell(self):
        return await self.worker.tell({})
"""


def told(one) -> dict:
    status, _, body = one.post("/tell", "")
    assert status == 200, body + one.said()
    return json.loads(body)


def pages(one) -> dict[str, str]:
    """Where each worker's health pages are, by its label."""
    done = subprocess.run(
        [sys.executable, "-m", "dynamo_build", "status", "-o", "json"],
        env=one.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {worker["worker"]: worker["pages"] for graph in json.loads(done.stdout) for worker in graph["workers"]}


def status_of(address: str) -> int:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_every_source_in_its_rank(serve):
    """Command line over DYNAMO_SERVICE_CONFIG over DYN_DEPLOYMENT_CONFIG over the file over decorator over constructor."""
    file = """
    Common: {shared: 7}
    Worker:
      common-configs: [shared]
      greeting: file
      count: 2
      free: file
      deep: {a: file, b: file, c: file, d: file}
      ServiceArgs: {workers: 1, envs: {A: file}, dynamo: {namespace: moved}, resources: {gpu: 0}}
    """
    one = serve(
        "graph:Front", "--file", "config.yaml", "-p", "0", "--Worker.deep.d=argument", "--Worker.list=[1,-2]",
        "--Worker.negative=-3", "--Worker.flag",
        files={"graph.py": GRAPH, "config.yaml": file},
        DYN_DEPLOYMENT_CONFIG="Worker: {count: 3, deep: {b: deployment, c: deployment, d: deployment}}",
        DYNAMO_SERVICE_CONFIG='{"Worker": {"deep": {"c": "service", "d": "service"}, "secret": "${env:HOME}"}}',
    ).ready()  # fmt: skip
    found = told(one)
    assert found["values"] == ["file", 3, 0.5]
    assert found["common"] == 7
    config = found["config"]
    assert config["deep"] == {"a": "file", "b": "deployment", "c": "service", "d": "argument"}
    assert (config["list"], config["negative"], config["flag"], config["free"]) == ([1, -2], -3, True, "file")
    assert config["secret"] == os.environ["HOME"]
    assert (found["A"], found["B"], found["address"]) == ("file", "decorator", ["moved", "Worker"])
    assert len(one.workers()) == 2
    assert one.stop() == 0


def test_decorator_workers_without_any_configuration(serve):
    """The decorator's own number of workers, and its variables."""
    one = serve("graph:Front", "--port", "0", files={"graph.py": GRAPH}).ready()
    assert len(one.workers()) == 3
    found = told(one)
    assert (found["A"], found["B"], found["values"]) == ("decorator", "decorator", ["constructor", 1, 0.5])
    assert one.said().count("warning: GPUs that Worker asks for are not handed out: ") == 1
    assert one.stop() == 0


def test_host_and_port(serve):
    """By option and by variable; the option wins. All addresses are heard with 0.0.0.0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    one = serve(
        "graph:Front", "--host", "127.0.0.2", "--port", str(port), files={"graph.py": GRAPH}, DYNAMO_PORT="1"
    ).ready()
    assert f"Front on http://127.0.0.2:{port}" in one.said()
    connection = http.client.HTTPConnection("127.0.0.2", port, timeout=20)
    connection.request("POST", "/tell")
    assert connection.getresponse().status == 200
    connection.close()
    assert one.stop() == 0
    two = serve("graph:Front", files={"graph.py": GRAPH}, DYNAMO_HOST="0.0.0.0", DYNAMO_PORT=str(port)).ready()
    two.port = port
    assert told(two)["values"] == ["constructor", 1, 0.5]
    assert two.stop() == 0


@pytest.mark.parametrize("how", ["option", "argument"])
def test_working_dir(serve, tmp_path, how):
    """The project's folder, as an option or in the place of the target: it is on the path, and where workers are."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "graph.py").write_text(GRAPH)
    arguments = (str(elsewhere),) if how == "argument" else ("graph:Front", "--working-dir", str(elsewhere))
    one = serve(*arguments, "--port", "0", files={"unrelated.txt": ""}).ready()
    assert told(one)["cwd"] == str(elsewhere)
    assert one.stop() == 0


def test_parts_of_a_graph_in_two_places(serve):
    """`--service-name` and `--depends` by variable too; a dependency may be told by its whole address."""
    with nats_server() as broker:
        back = serve(
            "graph:Front", files={"graph.py": GRAPH}, DYNAMO_SERVICE_NAME="Worker", NATS_SERVER=broker.url
        ).ready()
        assert len(back.workers()) == 2
        front = serve(
            "graph:Front", "--port", "0", files={"graph.py": GRAPH},
            DYNAMO_SERVE_DEPENDS="Worker=dynamo://n/Worker", NATS_SERVER=broker.url,
        ).ready()  # fmt: skip
        assert len(front.workers()) == 1
        assert told(front)["values"] == ["constructor", 1, 0.5]
        assert front.stop() == 0
        assert back.stop() == 0


def test_dry_run_shows_every_source(serve):
    """JSON on stdout; on stderr the source of every value, and the variable that workers receive."""
    one = serve(files={"graph.py": GRAPH, "config.yaml": "Worker: {count: 5}"}, command=("true",))
    one.process.wait()
    done = subprocess.run(
        [sys.executable, "-m", "dynamo_build", "serve", "graph:Front", "-f", "config.yaml", "--Worker.free=1", "--dry-run"],
        cwd=one.folder, env={**one.environment, "DYNAMO_SERVICE_CONFIG": '{"Worker": {"other": 2}}'},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["Worker"]["count"] == 5
    *sources, variable = (line for line in done.stderr.splitlines() if not line.startswith("warning"))
    found = {line.split()[0]: line.split()[-1] for line in sources}
    assert found["Worker.count"] == "config.yaml"
    assert found["Worker.free"] == "argument"
    assert found["Worker.other"] == "DYNAMO_SERVICE_CONFIG"
    assert found["Worker.greeting"] == "default"
    assert found["Worker.ServiceArgs.workers"] == "decorator"
    assert json.loads(variable.removeprefix("DYNAMO_SERVICE_CONFIG=")) == {
        "Worker": {"count": 5, "other": 2, "free": 1}
    }
    assert one.processes() == {}


def test_health_pages_of_every_worker(serve):
    """Each worker has pages of its own on a free port, those of the entry on the port that was asked for."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    one = serve("graph:Front", "--port", "0", "--system-app-port", str(port), files={"graph.py": GRAPH}).ready()
    told(one)
    found = pages(one)
    assert set(found) == {"Front", "Worker:1", "Worker:2"}
    assert found["Front"] == f"http://127.0.0.1:{port}"
    for address in found.values():
        assert {path: status_of(address + path) for path in ("/live", "/health", "/healthz", "/readyz", "/nowhere")} == {
            "/live": 200, "/health": 200, "/healthz": 200, "/readyz": 200, "/nowhere": 404
        }  # fmt: skip
    text = urllib.request.urlopen(found["Front"] + "/metrics").read().decode()
    assert 'endpoint="/tell"' in text
    assert one.stop() == 0


def test_health_pages_can_be_left_out(serve):
    """`--no-system-app`: no pages; `--own-health-checks`: only those of services that have probes."""
    one = serve("graph:Front", "--port", "0", "--no-system-app", files={"graph.py": GRAPH}).ready()
    assert set(pages(one).values()) == {""}
    assert one.stop() == 0
    two = serve("graph:Front", "--port", "0", "--own-health-checks", files={"graph.py": GRAPH}).ready()
    found = pages(two)
    assert [status_of(found["Front"] + path) for path in ("/live", "/health")] == [200, 404]
    assert [status_of(found["Worker:1"] + path) for path in ("/live", "/health")] == [404, 404]
    assert two.stop() == 0


def on_gpus(count: int) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [nvml.PATH, os.environ.get("PYTHONPATH", "")]))
    return {**nvml.machine(count), "PYTHONPATH": path}


def test_gpus(serve):
    """Each worker sees the device that it was given; the status line and `dynamo status` say which."""
    one = serve("graph:Front", "--port", "0", files={"graph.py": GRAPH}, **on_gpus(2)).ready()
    assert {told(one)["gpu"] for _ in range(20)} == {"0", "1"}
    assert "GPU 0" in one.said()
    assert "warning" not in one.said()
    assert one.stop() == 0


def test_too_few_gpus(serve):
    """One line with the counts, and 17."""
    one = serve("graph:Front", "--port", "0", files={"graph.py": GRAPH}, **on_gpus(1))
    assert one.process.wait(30) == 17
    assert "error: the graph asks for 2 GPUs (Worker 2 × 1) and 1 can be used: 0" in one.said()
    gone(one)
    free = serve(
        "graph:Front", "--port", "0", files={"graph.py": GRAPH}, **on_gpus(1), DYN_DISABLE_AUTO_GPU_ALLOCATION="1"
    )
    free.ready()
    assert told(free)["gpu"] is None
    assert free.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("graph:Front", "--target", "bento"), "`bento` is not a target of `serve`"),
        (("graph:Front", "--port", "70000"), "70000 is not in the range"),
        (("graph:Front", "-f", "nowhere.yaml"), "`nowhere.yaml` cannot be read"),
        (("graph:Front", "--Worker.a..b=1"), "empty name"),
        (("graph:Front", "foo.bar"), "foo.bar"),
        (("graph:Front", "--working-dir", "nowhere"), "`nowhere` is not a folder"),
    ],
)
def test_mistakes(serve, arguments, message):
    """One clear line and exit code 2."""
    one = serve(*arguments, files={"graph.py": GRAPH})
    assert one.process.wait(30) == 2, one.said()
    assert message in one.said()
    assert "Traceback" not in one.said()


def test_a_configuration_in_a_variable_that_is_none(serve):
    """Is named, like a file."""
    one = serve("graph:Front", files={"graph.py": GRAPH}, DYNAMO_SERVICE_CONFIG="[1]")
    assert one.process.wait(30) == 2
    assert "error: DYNAMO_SERVICE_CONFIG is not a mapping" in one.said()
    assert Path(one.folder, "graph.py").exists()
