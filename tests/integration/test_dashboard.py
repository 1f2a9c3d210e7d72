"""The dashboard over a graph that really runs."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from support.seeds import blocks
from support.serving import Serve
from support.waiting import PATIENCE, wait_until


def state(address: str) -> dict[str, Any]:
    """What the page reads."""
    try:
        with urllib.request.urlopen(f"{address}state.json", timeout=5) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        return dict(json.load(error))


def test_rates_states_logs_and_a_killed_worker(serve: Any, tmp_path: Path) -> None:
    """Requests show as rates, a killed worker as a restart; the page ends with the graph."""
    graph: Serve = serve("hello_world:Frontend", "--port", "0", code=blocks()["0-02.py"]).ready()
    said = tmp_path / "dashboard.log"
    with said.open("wb") as log:
        page = subprocess.Popen(
            [sys.executable, "-m", "dynamo_build", "dashboard", "--port", "0"],
            env=graph.environment,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: "http://" in said.read_text(), said.read_text)
        (address,) = re.findall(r"http://\S+", said.read_text())
        with urllib.request.urlopen(address, timeout=5) as answer:
            text = answer.read().decode()
        assert "hello_world:Frontend" in text and 'data-service="Backend"' in text
        for _ in range(5):
            assert graph.post("/generate", '{"text": "a b"}', **{"Content-Type": "application/json"})[0] == 200
        wait_until(lambda: any(r["requests"] > 0 for r in state(address).get("rates", [])), lambda: state(address))
        first = state(address)
        assert {worker["state"] for worker in first["workers"]} == {"ready"}
        assert any("ready after" in line for line in first["logs"])
        victim = next(worker for worker in first["workers"] if worker["service"] == "Backend")
        subprocess.run(["kill", "-9", str(victim["pid"])], check=True)
        wait_until(
            lambda: any(worker["restarts"] for worker in state(address).get("workers", [])), lambda: state(address)
        )
        assert graph.stop() == 0
        assert page.wait(PATIENCE) == 0, said.read_text()
        assert "ended" in said.read_text()
    finally:
        if page.poll() is None:
            page.kill()
            page.wait()


def test_served_with_its_page(serve: Any) -> None:
    """`serve --dashboard` names the page's address, and leaves nothing when it ends."""
    graph: Serve = serve("hello_world:Frontend", "--port", "0", "--dashboard").ready()
    wait_until(lambda: "dashboard at" in graph.said(), graph.said)
    (address,) = re.findall(r"dashboard at (\S+)", graph.said())
    assert state(address)["workers"]
    assert graph.stop(signal.SIGINT) == 0
    assert graph.processes() == {}


def test_the_graph_that_runs_is_drawn(serve: Any) -> None:
    """`graph --running` names what is ready and how fast it answers, in every form."""
    graph: Serve = serve("hello_world:Frontend", "--port", "0").ready()
    for form in ("tree", "json", "html"):
        done = subprocess.run(
            [sys.executable, "-m", "dynamo_build", "graph", "--running", "--format", form],
            env=graph.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert re.search(r"\d of \d ready", done.stdout), done.stdout
    assert graph.stop() == 0


def test_nothing_runs(tmp_path: Path) -> None:
    """One line, and the code of serve's errors."""
    done = subprocess.run(
        [sys.executable, "-m", "dynamo_build", "dashboard"],
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 17 and "no graph of yours runs" in done.stderr
