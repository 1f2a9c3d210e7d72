"""A package that only an extra brings: where it is missing, one line names it; and the wheel alone is enough."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.hello import ROOT
from support.serving import BIN

HIDE = """
import sys

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hide())
"""
GRAPH = """
import os
from dynamo.sdk import api, async_on_start, service
from dynamo.engines.choice import start_engine

@service
class Svc:
    @async_on_start
    async def start(self):
        self.engine = await start_engine({values})

    @api
    async def tell(self):
        return "there"
"""


def without(folder: Path, *hidden: str, code: str, **environment: str) -> tuple[int, str]:
    """The end of a `dynamo serve` in a Python without these packages."""
    (folder / "sitecustomize.py").write_text(HIDE.format(hidden=set(hidden)))
    (folder / "graph.py").write_text(code)
    around = {**os.environ, "PYTHONPATH": str(folder), "XDG_RUNTIME_DIR": str(folder), **environment}
    command = [sys.executable, "-m", "dynamo_build", "serve", "graph:Svc", "--port", "0"]
    done = subprocess.run(command, cwd=folder, env=around, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.nats
@pytest.mark.parametrize(
    ("hidden", "values", "told"),
    [
        ("xllamacpp", '{"engine": "embedded", "model": "smollm2"}', "install dynamo-build[cpu]"),
        ("nothing", '{"engine": "embedded", "model": "no/model"}', "`no/model`"),
        ("vllm", '{"engine": "vllm", "model": "smollm2"}', "pip install vllm"),
    ],
)
def test_engine(tmp_path: Path, hidden: str, values: str, told: str) -> None:
    """The worker is not started again and again, and shows no traceback."""
    code, said = without(tmp_path, hidden, code=GRAPH.replace("{values}", values))
    assert code != 0
    assert told in said
    assert "Traceback" not in said and "times in a row" not in said
    assert len([line for line in said.splitlines() if told in line]) <= 2  # the worker's line, and the command's


@pytest.mark.timeout(300)
def test_wheel_by_uvx(tmp_path: Path) -> None:
    """`uvx --from WHEEL dynamo init` and `build`, in a home that has nothing; the tutorial's test asks every command."""
    uv = str(BIN / "uv")
    around = {**os.environ, "HOME": str(tmp_path), "UV_TOOL_DIR": str(tmp_path / "tools"), "COLUMNS": "80"}
    subprocess.run([uv, "build", "--wheel", "-q", "-o", str(tmp_path / "dist"), str(ROOT)], check=True, env=around)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    uvx = [uv, "tool", "run", "--python", sys.executable, "--from", str(wheel), "dynamo"]

    def ran(*words: str, folder: Path = tmp_path) -> str:
        done = subprocess.run([*uvx, *words], cwd=folder, env=around, capture_output=True, text=True)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    assert ran("--version").startswith("dynamo ")
    ran("init", "made")
    assert ran("build", "made:Frontend", "-o", "name", folder=tmp_path / "made").startswith("frontend:")
