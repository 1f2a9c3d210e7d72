"""One replica over several nodes: all its processes live, the first one is called."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from dynamo.rpc.runtime import connect
from dynamo.sdk import codec
from dynamo_build.graph.child import explore_graph
from support import hello

pytestmark = pytest.mark.nats


def healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


async def instances(namespace: str) -> int:
    async with await connect() as runtime:
        watch = await runtime.discovery.watch(namespace, "Backend")
        while await watch.wait_for_change(1):
            pass
        return len(watch.list_instances())


def test_only_the_first_process_is_called(tmp_path: Path, nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both say that they are well; one of them is found by callers."""
    project = hello.ROOT / "examples/hello_world"
    namespace = f"test-{secrets.token_hex(4)}"
    graph = explore_graph("hello_world:Frontend", project).graph
    graph = replace(graph, services=tuple(replace(service, namespace=namespace) for service in graph.services))
    (tmp_path / "graph.json").write_bytes(codec.encode_canonical(graph))
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setenv("NATS_SERVER", nats_url)
    started: dict[int, subprocess.Popen[bytes]] = {}
    try:
        for rank in ("0", "1"):
            port = hello.free_port()
            ours = {"DYNAMO_BENTO": str(tmp_path), "DYNAMO_SYSTEM_PORT": str(port), "DYNAMO_NODE_RANK": rank}
            command = [sys.executable, "-m", "dynamo.worker", "Backend"]
            around = {**os.environ, **ours, "PYTHONPATH": str(project)}
            started[port] = subprocess.Popen(command, env=around, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 40
        while not all(map(healthy, started)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert all(map(healthy, started))
        assert asyncio.run(instances(namespace)) == 1
    finally:
        for process in started.values():
            process.terminate()
        assert [process.wait(30) for process in started.values()] == [0, 0]
