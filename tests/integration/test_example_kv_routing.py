"""The example of a custom worker, served as its README says."""

from __future__ import annotations

import json
import os
import signal
import time
from itertools import count
from pathlib import Path

import pytest

from support.nats import binary
from support.waiting import PATIENCE

pytestmark = pytest.mark.skipif(not binary(), reason="needs nats-server")
EXAMPLE = Path(__file__).resolve().parent.parent.parent / "examples" / "kv_routing"


def test_it_routes_by_prefix_and_outlives_a_worker(serve):
    """A beginning that a worker has seen is met again there; when that worker is killed, the other one answers."""
    files = {path.name: path.read_text() for path in EXAMPLE.iterdir() if path.suffix in (".py", ".yaml")}
    running = serve("kv_routing:Frontend", "-f", "config.yaml", "--port", "0", files=files).ready()

    def shout(end):
        status, _, body = running.post("/shout", json.dumps({"text": f"the same long beginning, and {end}"}))
        assert status == 200, body
        return json.loads(body)

    assert shout("an end")["text"] == "THE SAME LONG BEGINNING, AND AN END"
    # Blocks are 16 letters: with a number, no end shares the second one. The router hears of the first one after a while.
    until, ends = time.monotonic() + PATIENCE, count()
    while "1 of 3 blocks held" not in (met := shout(f"{next(ends)}, an end"))["why"]:
        assert time.monotonic() < until, met
        time.sleep(0.05)
    assert met["cached"] == 16
    for number in range(5):
        assert shout(f"more {number}")["cached"] >= 16
    health = {line.split("]")[0][1:]: line for line in running.said().splitlines() if "ready after" in line}
    victim = int(health["Worker:1"].split("process ")[1].split(",")[0])
    os.kill(victim, signal.SIGKILL)
    for number in range(5):
        assert shout(f"after {number}")["text"].endswith(f"AFTER {number}")
    assert running.stop() == 0
