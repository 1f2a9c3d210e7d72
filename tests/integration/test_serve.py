"""`dynamo serve` as a user runs it: real processes, a real NATS server, requests as curl sends them."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from support.seeds import blocks
from support.serving import Serve, gone
from support.waiting import wait_until

pytestmark = pytest.mark.nats

SEED = blocks()["0-02.py"]

CONFIGURED = """
import asyncio, os
from dynamo.sdk import api, async_on_shutdown, async_on_start, depends, dynamo_context, dynamo_endpoint, service
from dynamo.sdk.lib.config import ServiceConfig

@service(dynamo={"enabled": True, "namespace": "n"}, envs=[{"name": "FROM_DECORATOR", "value": "yes"}])
class Worker:
    def __init__(self, greeting: str = "hi", number: int = 1):
        self.greeting, self.number = greeting, number

    @async_on_start
    async def begin(self):
        self.started = True

    @async_on_shutdown
    def end(self):
        print("shut down", flush=True)

    @dynamo_endpoint()
    async def value(self, request):
        free = ServiceConfig.get_instance().get("Worker", {}).get("free")
        return {"greeting": self.greeting, "number": self.number, "free": free, "started": self.started,
                "env": os.environ.get("FROM_DECORATOR"), "namespace": dynamo_context["namespace"], "pid": os.getpid()}

    @dynamo_endpoint(name="chat/completions")
    async def chat(self, request: dict):
        yield request
        raise RuntimeError("half way")

@service
class Front:
    worker = depends(Worker)

    @api
    async def value(self, request: dict):
        answer = await self.worker.value(request)
        assert answer.greeting == answer["greeting"]
        return answer

    @api
    async def chat(self, request: dict):
        async for item in self.worker.chat(request):
            yield item

    @api
    async def direct(self):
        runtime = dynamo_context["runtime"]
        client = await runtime.namespace("n").component("Worker").endpoint("value").client()
        ids = await client.wait_for_instances()
        return (await client.direct({}, ids[0])).data()["greeting"]
"""


def test_the_seed(serve):
    """The first graph answers the two lines, to curl's body without a JSON content type, and ends without a trace."""
    one = serve("hello_world:Frontend", "--port", "0").ready()
    wanted = (200, "text/plain; charset=utf-8", "Echo: Hello\nEcho: World\n")
    body = '{"text": "Hello World"}'
    assert one.post("/generate", body) == wanted
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert one.post("/generate", body, **form) == wanted
    events = one.post("/generate", body, accept="text/event-stream")
    assert events == (200, "text/event-stream", "data: Echo: Hello\n\ndata: Echo: World\n\n")
    assert one.post("/generate", "{")[0] == 400
    assert one.post("/nowhere", "{}")[0] == 404
    assert len(one.workers()) == 4
    sessions = list((one.runtime / "dynamo").iterdir())
    assert [oct(path.stat().st_mode)[-3:] for path in sessions] == ["600", "600"]
    assert one.stop() == 0
    assert "[Backend:3] Init tasks..." in one.said()
    gone(one)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", one.port))


def test_configuration(serve):
    """Constructor arguments, free keys, decorator values, overrides and hooks are effective."""
    arguments = ("--port", "0", "--Worker.number=7", "--Worker.ServiceArgs.dynamo.namespace=other")
    one = serve("graph:Front", "-f", "config.yaml", *arguments, code=CONFIGURED, module="graph")
    (one.folder / "config.yaml").write_text(
        "Worker: {greeting: hello, number: 2, free: [1], ServiceArgs: {workers: 2}}"
    )
    one.ready()
    status, _, body = one.post("/value", "{}")
    assert status == 200, body
    answer = json.loads(body)
    assert isinstance(answer.pop("pid"), int)
    assert answer == {
        "greeting": "hello",
        "number": 7,
        "free": [1],
        "started": True,
        "env": "yes",
        "namespace": "other",
    }
    assert len(one.workers()) == 3
    assert one.stop(signal.SIGTERM) == 0
    assert one.said().count("shut down") == 2
    gone(one)


def test_errors_reach_the_client(serve):
    """A failure in mid-stream cuts the answer off, and says so; the process lives."""
    one = serve("graph:Front", "--port", "0", code=CONFIGURED, module="graph").ready()
    with pytest.raises(http.client.IncompleteRead) as caught:
        one.post("/chat", '{"a": 1}')
    assert b'{"a":1}\n' in caught.value.partial
    assert b"half way" in caught.value.partial
    assert one.post("/direct", "")[2] == "hi"
    assert one.stop() == 0


def test_a_killed_worker_comes_back(serve):
    """Every request is answered while workers are killed, and each is started again."""
    one = serve("hello_world:Frontend", "--port", "0").ready()
    for _ in range(3):
        for pid in one.workers():
            os.kill(pid, signal.SIGKILL)
        assert one.post("/generate", '{"text": "a b"}')[::2] == (200, "Echo: a\nEcho: b\n")
    wait_until(lambda: len(one.workers()) == 4, one.said)
    assert "killed by SIGKILL" in one.said()
    assert one.stop() == 0
    gone(one)


def test_killed_itself_it_leaves_no_process(serve):
    """Even kill -9 of the command leaves nothing running."""
    one = serve("hello_world:Frontend", "--port", "0").ready()
    one.process.kill()
    one.process.wait()
    gone(one)


def test_a_crash_loop_ends_it(serve):
    """A service that fails again and again is named with its last lines, and everything ends with 17."""
    code = SEED.replace('print("Init tasks...")', 'raise OSError("no disk")')
    one = serve("hello_world:Frontend", "--port", "0", code=code)
    assert one.process.wait(30) == 17
    assert "error: `Backend` failed 5 times in a row" in one.said()
    assert "  OSError: no disk" in one.said()
    gone(one)


def test_a_missing_package_is_one_line(serve):
    """What can never start is not tried again."""
    code = "import no_such_package\n" + SEED
    one = serve("hello_world:Frontend", "--port", "0", code=code)
    assert one.process.wait(30) in (10, 17)
    assert "no_such_package" in one.said()
    assert "Traceback" not in one.said()
    gone(one)


def test_no_broker(serve):
    """An address of NATS where nobody answers is one line and 17."""
    one = serve("hello_world:Frontend", "--port", "0", NATS_SERVER="nats://127.0.0.1:1")
    assert one.process.wait(30) == 17
    first, *rest = one.said().splitlines()
    assert first == "error: no NATS server answers at 127.0.0.1:1: connection refused"
    assert all(line.startswith("  hint: ") for line in rest)
    gone(one)


def test_a_port_in_use(serve):
    """A port that is taken is one line and 17."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        one = serve("hello_world:Frontend", "--port", str(port))
        assert one.process.wait(30) == 17
    assert f"error: cannot listen on 127.0.0.1:{port}: address already in use" in one.said()
    gone(one)


def test_stopped_while_it_starts(serve):
    """Ctrl-C at any moment of the start leaves nothing."""
    for delay in (0.0, 0.1, 0.25, 0.4, 0.6):
        one = serve("hello_world:Frontend", "--port", "0")
        time.sleep(delay)
        interrupt(one)
        gone(one)


def interrupt(one: Serve) -> None:
    """Ctrl-C; and again where Python lost it while it loaded its own first modules, before a line of ours: it says so."""
    one.process.send_signal(signal.SIGINT)
    for _ in range(300):
        if one.process.poll() is not None:
            return
        if re.search(r"Exception ignored in: <function _get_module_lock[^>]*>\n(.*\n)+KeyboardInterrupt", one.said()):
            one.stop()
            return
        time.sleep(0.1)
    raise AssertionError(one.said())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_stopped_while_the_graph_is_read(serve, number, code):
    """Before there is anybody to pass a signal on to, everything begun is undone."""
    one = serve("graph:Front", files={"graph.py": "import time; time.sleep(60)"})
    wait_until(lambda: any(one.runtime.iterdir()), one.said)
    assert one.stop(number) == code
    gone(one)


CLIENT = """
import asyncio
from dynamo.sdk import get_runtime

async def main():
    runtime = await get_runtime()
    client = await runtime.namespace("inference").component("Backend").endpoint("generate").client()
    async for item in await client.round_robin({"text": "a b"}):
        print(item, item.data())

asyncio.run(main())
"""


def test_a_client_of_its_own(serve):
    """A program outside the graph finds it by the session file, and ends quietly."""
    one = serve("hello_world:Backend").ready()
    done = subprocess.run(
        [sys.executable, "-c", CLIENT], env=one.environment, capture_output=True, text=True, timeout=30
    )
    assert (done.stdout, done.stderr) == ("Echo: a Echo: a\nEcho: b Echo: b\n", "")
    assert one.stop() == 0
    done = subprocess.run(
        [sys.executable, "-c", CLIENT], env=one.environment, capture_output=True, text=True, timeout=30
    )
    assert "no running graph was found" in done.stderr or "4222" in done.stderr


def test_some_services_elsewhere(serve):
    """`--service-name` runs one service alone, `--depends` leaves one out; both find each other by NATS."""
    from support.nats import nats_server

    with nats_server() as broker:
        back = serve("hello_world:Frontend", "--service-name", "Backend", NATS_SERVER=broker.url).ready()
        assert len(back.workers()) == 3
        arguments = ("--port", "0", "--depends", "Backend=inference/Backend")
        front = serve("hello_world:Frontend", *arguments, NATS_SERVER=broker.url).ready()
        assert len(front.workers()) == 1
        assert front.post("/generate", '{"text": "a"}')[2] == "Echo: a\n"
        assert front.stop() == 0
        assert back.stop() == 0


def test_dry_run(serve):
    """`--dry-run` prints what the services would see, and starts nothing."""
    one = serve("graph:Front", "--dry-run", "--Worker.number=3", code=CONFIGURED, module="graph")
    assert one.process.wait(30) == 0
    worker = json.loads(one.said()[one.said().index("\n{\n") :])["Worker"]
    assert (worker["greeting"], worker["number"]) == ("hi", 3)
    assert worker["ServiceArgs"]["dynamo"]["namespace"] == "n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("hello_world:Nobody",), 10, "Nobody"),
        (("hello_world:Frontend", "--Nobody.x=1"), 10, "unknown service `Nobody`"),
        (("hello_world:Frontend", "--bogus"), 2, "no such option: --bogus"),
        (("hello_world:Frontend", "--service-name", "Nobody"), 2, "no service `Nobody`"),
        (("hello_world:Frontend", "--depends", "Backend"), 2, "not the address of a dependency"),
    ],
)
def test_mistakes(serve, arguments, code, message):
    """A user's mistake is one clear line with its exit code, and nothing is left running."""
    one = serve(*arguments)
    assert one.process.wait(30) == code, one.said()
    assert message in one.said()
    assert "Traceback" not in one.said()
    gone(one)
