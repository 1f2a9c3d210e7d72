"""The load generator against a served graph: what it reports is what the graph did."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from support.hello import ROOT
from support.nats import binary
from support.serving import Serve

pytestmark = pytest.mark.skipif(not binary(), reason="needs nats-server")
SIMULATED = (
    "--Common.model=bytes",
    "--Common.max-model-len=20000",
    "--VllmWorker.engine=simulated",
    "--VllmWorker.speed=5",
    "--VllmWorker.ServiceArgs.workers=3",
    "--Router.min-workers=3",
    "--Frontend.served_model_name=m",
)


@pytest.fixture
def served(tmp_path):
    """Serves the routed LLM graph with simulated engines and the given way to route."""
    started = []

    def start(router: str) -> Serve:
        folder = tmp_path / router
        shutil.copytree(ROOT / "examples/llm", folder, ignore=shutil.ignore_patterns("__pycache__"))
        config = ("-f", "configs/laptop/agg_router.yaml")
        arguments = ("graphs.agg_router:Frontend", *config, "--port", "0", *SIMULATED, f"--Router.router={router}")
        started.append(Serve(folder, *arguments))
        return started[-1].ready()

    yield start
    for one in started:
        one.stop()


def load(port: int, *more: str) -> dict[str, object]:
    """Its report."""
    command = [sys.executable, "-m", "dynamo.bench", "--url", f"http://127.0.0.1:{port}", "--model", "m", "-o", "json"]
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_routed_prefixes_hit_and_random_ones_do_less(served, tmp_path):
    """Many prefixes, few requests for each: who routes by what is held meets most of them again."""
    shape = ("--workload", "shared", "--prefixes", "40", "--prefix-words", "800", "--requests", "120")
    shape = (*shape, "--concurrency", "1", "--max-tokens", "8")
    kv = load(served("kv").port, *shape, "--plots", str(tmp_path / "plots"))
    chance = load(served("random").port, *shape)
    assert kv["failed"] == chance["failed"] == 0
    assert kv["requests"] == 120 and kv["output_tokens"] == 960
    # 0.68 is all that is shared; over three workers chance meets 0.40 of it, with a deviation of 0.02.
    assert kv["prefix_hit_rate"] > 0.6, kv
    assert chance["prefix_hit_rate"] < 0.55, chance
    assert kv["first_token_ms"][0] > 0
    assert (tmp_path / "plots" / "spread.svg").read_text().startswith("<svg")


def test_talks_at_a_rate(served):
    """Turns of a talk come after each other; each meets what was said before."""
    found = load(served("kv").port, "--workload", "talks", "--rate", "4", "--requests", "40", "--max-tokens", "6")
    assert found["failed"] == 0
    assert found["prefix_hit_rate"] > 0.6
