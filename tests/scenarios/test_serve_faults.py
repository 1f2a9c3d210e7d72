"""A graph under load while its processes are killed, stopped and replaced; and for a long time. Longer in a campaign."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import pace
from support.effort import points
from support.serving import GRAPH, Load, Open, Serve, gone
from support.waiting import wait_until

pytestmark = [pytest.mark.nats, pytest.mark.timeout(points(180, 1500))]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """The graph, two workers of each service."""
    (tmp_path / "graph.py").write_text(GRAPH)
    one = Serve(tmp_path, "graph:Front", "--port", "0", "--Front.ServiceArgs.workers=2").ready()
    yield one
    if one.process.poll() is None:
        one.stop()
    gone(one)


def ready(one: Serve) -> None:
    wait_until(lambda: one.post("/tell", "")[0] == 200 and len(one.workers()) == 4, one.said)


def test_workers_killed_one_after_the_other(serve):
    """kill -9 of a called worker every second: every request is answered right, or by a typed error, and in time."""
    load = Load(serve, 4, pause=0.01)
    chance = random.Random(1)
    fronts = {pid for pid in serve.workers() if listens(pid, serve.port)}
    for _ in range(points(4, 60)):
        backs = [pid for pid in serve.workers() if pid not in fronts]
        if backs:
            os.kill(chance.choice(backs), signal.SIGKILL)
        time.sleep(1.0)
    load.stop()
    print(load)
    assert load.failures == []
    assert load.answers > 50
    assert load.longest < 15
    ready(serve)
    assert "failed 5 times" not in serve.said()


def listens(pid: int, port: int) -> bool:
    """Whether the process holds the socket that listens on the port."""
    inodes = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port:04X}")
    }
    held = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            held.add(str(entry.readlink()).removeprefix("socket:[").removesuffix("]"))
        except OSError:
            continue
    return bool(inodes & held)


def test_restarted_again_and_again(serve):
    """Every worker is replaced under load, round after round: no request fails, none is even answered by an error."""
    load = Load(serve, 6)
    for _ in range(points(1, 20)):
        command = [sys.executable, "-m", "dynamo_build", "restart"]
        done = subprocess.run(command, env=serve.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    load.stop()
    print(load)
    assert (load.failures, dict(load.errors)) == ([], {})
    assert load.answers > 20


async def test_nothing_grows(serve):
    """At half of the load it can carry (for a quarter of an hour in a campaign): memory and open files stay as they are."""
    seconds = points(5, 900)
    client = Open(serve)
    await pace.half(client.ask, client.CONNECTIONS, points(3, 60))
    before = {pid: (memory(pid), files(pid)) for pid in serve.processes()}
    held = await pace.half(client.ask, client.CONNECTIONS, seconds)
    after = {pid: (memory(pid), files(pid)) for pid in serve.processes()}
    told = ", ".join(f"{before[pid][0]:.1f} -> {now:.1f} MiB" for pid, (now, _) in after.items() if pid in before)
    print(f"{held} in {seconds} s")
    print(f"counted {client.answers} right, {sum(client.wrong.values())} wrong, longest {client.longest:.2f} s; {told}")
    await client.close()
    assert set(after) == set(before), serve.said()
    assert client.wrong == {}
    assert client.answers > held.made > 100 * seconds
    for pid, (megabytes, opened) in after.items():
        assert megabytes <= before[pid][0] * 1.1 + 2, told
        assert opened <= before[pid][1] + 8


def memory(pid: int) -> float:
    """Private memory in MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ended_at_any_moment(tmp_path, number):
    """From the first milliseconds to the middle of a request: no process, no socket, no file is left."""
    (tmp_path / "graph.py").write_text(GRAPH)
    moments = points(2, 40)
    for moment in range(moments):
        one = Serve(tmp_path, "graph:Front", "--port", "0")
        time.sleep(1.5 * moment / moments)
        one.stop(number)
        gone(one)
