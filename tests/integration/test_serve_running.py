"""A graph that runs, seen and changed from another terminal: status, logs, rolling restarts, reload; and frozen bentos."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dynamo_build.bento.export import export
from dynamo_build.seams import Surroundings
from support.hello import bento_made
from support.serving import GRAPH, Load, Serve, gone
from support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.nats


def dynamo(one: Serve, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """A command in the terminal beside it."""
    command = [sys.executable, "-m", "dynamo_build", *arguments]
    done = subprocess.run(command, env=one.environment, cwd=one.folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def workers(one: Serve) -> dict[str, dict]:
    (graph,) = json.loads(dynamo(one, "status", "-o", "json").stdout)
    return {worker["worker"]: worker for worker in graph["workers"]}


def answered(one: Serve, word: str) -> None:
    """Wait until it answers that."""
    seen: object = None

    def right() -> bool:
        nonlocal seen
        try:
            seen = one.post("/tell", "")
        except OSError as error:
            seen = error
        return isinstance(seen, tuple) and seen[::2] == (200, word)

    wait_until(right, lambda: f"{seen}\n{one.said()}")


def test_status_and_logs(serve):
    """Every worker with its state, process and addresses; what one service said, and what is said from now on."""
    one = serve("graph:Front", "--port", "0", files={"graph.py": GRAPH}).ready()
    found = workers(one)
    assert {label: worker["state"] for label, worker in found.items()} == dict.fromkeys(
        ("Back:1", "Back:2", "Front"), "ready"
    )
    assert {worker["pid"] for worker in found.values()} == set(one.workers())
    assert found["Front"]["http"] == f"http://127.0.0.1:{one.port}"
    shown = dynamo(one, "status").stdout
    assert "graph:Front  (process " in shown
    assert "Back:2" in shown
    assert "@" not in shown
    said = dynamo(one, "logs", "Back").stdout.splitlines()
    assert sum("made one" in line for line in said) == 2
    assert not any(line.startswith("[Front]") for line in said)
    assert len(dynamo(one, "logs", "--tail", "1").stdout.splitlines()) == 1
    assert "error: no service `Nobody` runs here" in dynamo(one, "logs", "Nobody", code=17).stderr
    assert "no graph runs as process 1" in dynamo(one, "logs", "--process", "1", code=17).stderr
    command = [sys.executable, "-m", "dynamo_build", "logs", "--follow", "Back"]
    following = subprocess.Popen(command, env=one.environment, stdout=subprocess.PIPE, text=True)
    assert following.stdout is not None
    following.stdout.readline()
    os.kill(found["Back:1"]["pid"], signal.SIGKILL)
    assert one.stop() == 0
    rest = following.stdout.read()
    assert following.wait(PATIENCE) == 0
    assert "Back:1" in rest
    gone(one)
    assert dynamo(one, "status").stdout == "no graph of yours runs on this machine\n"
    assert "no graph of yours runs" in dynamo(one, "logs", code=17).stderr


def test_restarts_are_counted(serve):
    """A killed worker comes back as another process, and `dynamo status` says how often."""
    one = serve("graph:Front", "--port", "0", files={"graph.py": GRAPH}).ready()
    before = workers(one)["Back:2"]
    os.kill(before["pid"], signal.SIGKILL)
    wait_until(lambda: (now := workers(one)["Back:2"])["state"] == "ready" and now["pid"] != before["pid"], one.said)
    now = workers(one)["Back:2"]
    assert (before["restarts"], now["restarts"]) == (0, 1)
    assert one.stop() == 0


def test_a_rolling_restart_loses_no_request(serve):
    """Every worker is replaced under load, twice; kept connections are handed over without one failed request."""
    one = serve("graph:Front", "--port", "0", "--Front.ServiceArgs.workers=2", files={"graph.py": GRAPH}).ready()
    before = set(one.workers())
    load = Load(one, 8)
    try:
        for _ in range(2):
            told = dynamo(one, "restart").stderr
            assert told.count(" is replaced") == 4
    finally:
        load.stop()
    assert load.failures == []
    assert load.errors == {}
    assert load.answers > 50
    after = {worker["pid"] for worker in workers(one).values()}
    assert len(after) == 4
    assert not before & after
    assert one.stop() == 0
    gone(one)


def test_a_running_answer_survives_a_restart(serve):
    """A stream that is under way when its worker is replaced comes to its end."""
    one = serve("graph:Front", "--port", "0", files={"graph.py": GRAPH}).ready()
    got: list[tuple[int, str, str]] = []
    thread = threading.Thread(target=lambda: got.append(one.post("/slow", '{"parts": 20}')))
    thread.start()
    time.sleep(0.5)
    dynamo(one, "restart", "Front")
    thread.join()
    assert got[0][0] == 200
    assert got[0][2].split() == [str(number) for number in range(20)]
    assert one.stop() == 0


ENDLESS = """
from pathlib import Path
from dynamo.sdk import api, depends, dynamo_endpoint, service

@service(dynamo={"enabled": True})
class Back:
    @dynamo_endpoint
    async def count(self, request: dict):
        try:
            for number in range(10**9):
                Path("made").write_text(str(number))
                yield "x" * 50_000
        finally:
            Path("closed").write_text("")

@service
class Front:
    back = depends(Back)

    @api
    async def count(self):
        async for item in self.back.count({}):
            yield item
"""


def test_a_client_that_leaves_or_does_not_read(serve):
    """The service behind the front stops to make what nobody reads, and is cancelled when the client leaves."""
    one = serve("graph:Front", "--port", "0", files={"graph.py": ENDLESS}).ready()
    made, closed = Path(one.folder, "made"), Path(one.folder, "closed")
    with socket.create_connection(("127.0.0.1", one.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"POST /count HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        wait_until(made.exists, one.said)
        before = ""
        while not before or made.read_text() != before:  # empty: in the midst of being written
            before = made.read_text()
            time.sleep(1)
        assert int(before) < 2000
        assert not closed.exists()
    wait_until(closed.exists, one.said)
    assert one.stop() == 0


def test_a_restart_with_broken_code_leaves_the_old_workers(serve):
    """The new worker does not become ready: the command says why and ends with 17, and the graph still answers."""
    one = serve("graph:Front", "--port", "0", files={"graph.py": GRAPH}).ready()
    Path(one.folder, "graph.py").write_text("raise RuntimeError('broken')\n" + GRAPH)
    failed = dynamo(one, "restart", "Back", code=17)
    assert "is not replaced" in failed.stderr
    assert "broken" in failed.stderr
    answered(one, "one")
    assert one.stop() == 0


def test_reload(serve):
    """A change of the code or of the file starts the graph anew at its address; a broken change is told and waited out."""
    files = {"graph.py": GRAPH, "config.yaml": "{}"}
    one = serve("graph:Front", "--port", "0", "--reload", "-f", "config.yaml", files=files).ready()
    answered(one, "one")
    graph, config = Path(one.folder, "graph.py"), Path(one.folder, "config.yaml")
    graph.write_text(GRAPH.replace('"one"', '"two"').replace("workers=2", "workers=1"))
    answered(one, "two")
    wait_until(lambda: set(workers(one)) == {"Back", "Front"}, one.said)
    config.write_text("Back: {word: three}")
    answered(one, "three")
    graph.write_text(GRAPH.replace("async def tell(self):", "async def tell(self:"))
    wait_until(lambda: "the change is not applied" in one.said(), one.said)
    assert "graph.py" in one.said().partition("the change is not applied")[2]
    answered(one, "three")
    graph.write_text(GRAPH.replace('print("made", word)', "raise OSError('no disk')"))
    wait_until(lambda: "waits for a change of the code" in one.said(), one.said)
    graph.write_text(GRAPH)
    answered(one, "three")
    assert one.stop() == 0
    gone(one)


def test_ctrl_c_under_load(serve):
    """At any moment: nothing is left, whatever is under way."""
    for delay in (0.0, 0.5):
        one = serve("graph:Front", "--port", "0", files={"graph.py": GRAPH}).ready()
        load = Load(one, 4)
        restarting = threading.Thread(target=lambda one=one: subprocess.run(
            [sys.executable, "-m", "dynamo_build", "restart"], env=one.environment, capture_output=True
        ))  # fmt: skip
        restarting.start()
        time.sleep(delay)
        assert one.stop() == 0
        load.stop()
        restarting.join()
        gone(one)


def test_a_bento(serve, tmp_path, monkeypatch):
    """By its tag and as a file, elsewhere than where it was built: its own code and configuration, its lock's packages."""
    home = tmp_path / "home"
    monkeypatch.setenv("DYNAMO_HOME", str(home))
    bento = bento_made(tmp_path, Surroundings(cache=home / "cache"))
    file = export(bento, tmp_path / "hello.bento")
    for target, more in ((bento.tag, ()), (str(file), ("--Backend.message=end",))):
        one = serve(target, "--port", "0", *more, files={"unrelated.txt": ""}, DYNAMO_HOME=str(home)).ready()
        end = "end" if more else "back"
        assert one.post("/generate", '{"text": "a"}')[::2] == (200, f"Frontend: Middle: Backend: a-mid-{end}\n")
        supervisors = [command for command in one.processes().values() if "dynamo.supervisor" in command]
        assert all(" -S " in command for command in supervisors)
        assert one.stop() == 0
        gone(one)
    assert len(list((home / "environments").iterdir())) == 1
