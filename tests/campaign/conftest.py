"""What the runs with a real vLLM share: its interpreter, and a model of random weights."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support import vllm_environment


@pytest.fixture(scope="session")
def python() -> str:
    try:
        return vllm_environment.interpreter()
    except vllm_environment.Absent as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def model(python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("vllm") / "model"
    subprocess.run([python, "-m", "support.vllm_model", str(place)], env=vllm_environment.environment(), check=True)
    return place
