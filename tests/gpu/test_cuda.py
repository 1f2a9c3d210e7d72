"""What only a GPU shows: assignment by NVML, and vLLM on CUDA behind the adapter."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.hello import ROOT
from support.serving import Serve

TWO = """
import os
from dynamo.sdk import api, depends, dynamo_endpoint, service

@service(dynamo={"namespace": "n"}, resources={"gpu": "1"})
class Worker:
    @dynamo_endpoint()
    async def seen(self):
        return os.environ.get("CUDA_VISIBLE_DEVICES", "")

@service
class Front:
    worker = depends(Worker)

    @api
    async def seen(self):
        return await self.worker.seen() + "," + os.environ.get("CUDA_VISIBLE_DEVICES", "none")
"""


def test_assignment(tmp_path: Path) -> None:
    """A worker that asks for a GPU is told one that NVML knows; one that does not is told nothing."""
    (tmp_path / "two.py").write_text(TWO)
    one = Serve(tmp_path, "two:Front", "--port", "0").ready()
    try:
        _, _, body = one.post("/seen", "{}")
        mine, other = body.split(",")
        assert mine.strip() and other.strip() in ("none", os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
    finally:
        one.stop()


def interpreter() -> str:
    """An interpreter that has vLLM."""
    return os.environ.get("VLLM_PYTHON", "") or (sys.executable if importlib.util.find_spec("vllm") else "")


@pytest.mark.timeout(900)
def test_vllm(tmp_path: Path) -> None:
    """vLLM on CUDA: tokens, cached prompts, KV events that are those of the router, numbers, and old paths."""
    python = interpreter()
    if not python:
        pytest.skip("vLLM is not installed; VLLM_PYTHON names an interpreter that has it")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'runtime'}:{ROOT / 'tests'}", "HF_HUB_OFFLINE": "1"}
    model = tmp_path / "model"
    subprocess.run([python, "-m", "support.vllm_model", str(model)], env=environment, check=True)
    done = subprocess.run(
        [python, "-m", "support.vllm_engine", "engine", str(model)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    seen = json.loads(done.stdout.strip().splitlines()[-1])
    assert seen["same"] and seen["cached"] >= 160
    assert seen["blocks_of_prompt"] == 6
