"""The examples, by what their READMEs say: each command as it stands there, and the answer that is printed below it."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.serving import BIN, Serve, asked, gone, typed
from support.waiting import wait_until

pytestmark = [pytest.mark.nats, pytest.mark.root, pytest.mark.usefixtures("as_root")]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def blocks(example: str) -> list[tuple[str, str]]:
    """The blocks of the README: language and text."""
    text = (EXAMPLES / example / "README.md").read_text()
    return re.findall(r"^```(\w*)\n(.*?)^```", text, re.S | re.M)


def files(example: str) -> dict[str, str]:
    """The example's files."""
    folder = EXAMPLES / example
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in (".py", ".yaml", ".txt")
    }


def commands(example: str) -> tuple[str, list[str], str]:
    """The command that serves, the lines of the other terminal, and what they show."""
    lines = [line for kind, text in blocks(example) if kind == "bash" for line in text.splitlines()]
    serving = next(line for line in lines if line.startswith("dynamo serve"))
    others = [line.partition("  # ")[0] for line in lines if line.startswith(("curl", "python"))]
    following = [text for kind, text in blocks(example) if not kind and "──" not in text]
    return serving, others, following[0]


@pytest.mark.parametrize("example", ["hello_world", "fan_out", "interfaces", "text_processor"])
def test_an_example_does_what_its_readme_says(serve, example):
    """Served and asked by the lines of the README."""
    serving, others, shown = commands(example)
    one = typed(serve, serving, files(example))
    others = [
        line.replace("python ", f"{sys.executable} ", 1) if line.startswith("python") else line for line in others
    ]
    answers = [asked(one, line) for line in others]
    if example == "fan_out":  # whose second answer comes in the order in which its services are ready
        assert answers[0] == shown.partition("\n")[0] + "\n"
        answers, shown = sorted("".join(answers).splitlines()), sorted(shown.splitlines())
    else:
        answers = "".join(answers)
    assert answers == shown
    assert one.stop() == 0
    gone(one)


def test_the_other_graph_of_the_interfaces(serve):
    """The same frontend with another service behind it, and no more services than that."""
    one = typed(serve, "dynamo serve graphs.english:Frontend", files("interfaces"))
    assert asked(one, """curl -s localhost:8000/welcome -d '{"name": "Ada"}'""") == "Hello\nAda\n"
    assert len(one.workers()) == 2
    assert one.stop() == 0


@pytest.mark.parametrize("example", ["hello_world", "fan_out", "text_processor"])
def test_the_configuration_of_an_example_fits(tmp_path, example):
    """No unknown service, no near miss."""
    module = next(path.stem for path in (EXAMPLES / example).glob("*.py") if path.stem != "client")
    command = [sys.executable, "-m", "dynamo_build", "serve", module, "-f", "config.yaml", "--dry-run"]
    done = subprocess.run(command, cwd=EXAMPLES / example, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[int, int]]:
    """Two network namespaces with a cable between them: the processes that hold them."""
    holders = [subprocess.Popen(["unshare", "-n", "sleep", "600"]) for _ in range(2)]
    try:
        first, second = (holder.pid for holder in holders)
        own = Path("/proc/self/ns/net").readlink()
        wait_until(lambda: all(Path(f"/proc/{pid}/ns/net").readlink() != own for pid in (first, second)))
        inside(first, f"ip link add cable type veth peer name cable netns {second}")
        for pid, address in ((first, "10.99.0.1"), (second, "10.99.0.2")):
            inside(pid, f"ip link set lo up; ip address add {address}/24 dev cable; ip link set cable up")
        yield first, second
    finally:
        for holder in holders:
            holder.kill()
            holder.wait()


def inside(pid: int, command: str) -> str:
    done = subprocess.run(
        ["nsenter", "-t", str(pid), "-n", "bash", "-c", command], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def on(serve, pid: int, line: str) -> Serve:
    """A line of the README on one of the hosts."""
    command = ("nsenter", "-t", str(pid), "-n", "bash", "-c", f"export PATH={BIN}:$PATH; {line}")
    return serve(files=files("multinode_hello_world"), command=command)


def test_hello_world_on_two_hosts(serve):
    """One NATS server; the worker runs on the second host, everything else on the first, as the README says."""
    first_host, second_host, curl = (text for kind, text in blocks("multinode_hello_world") if kind == "bash")
    broker, front = first_host.splitlines()
    _, shown = (text for kind, text in blocks("multinode_hello_world") if not kind)
    with two_hosts() as (first, second):
        nats = on(serve, first, f"exec {broker.removesuffix(' &')} -sd $TMPDIR/jetstream")
        worker = on(serve, second, second_host.replace("dynamo serve", "exec dynamo serve")).ready()
        frontend = on(serve, first, front.replace("dynamo serve", "exec dynamo serve")).ready()
        assert inside(first, curl) == shown
        assert len(worker.workers()) == 1
        more = on(
            serve, second, second_host.replace("dynamo serve", "exec dynamo serve").replace("=second", "=third")
        ).ready()
        seen = {line.rpartition(" ")[2] for _ in range(10) for line in inside(first, curl).splitlines()}
        assert seen == {"second", "third"}
        for one in (more, frontend, worker):
            assert one.stop() == 0
        nats.stop()
