"""Type checkers accept the examples, and see another service's endpoints through `depends`."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = [
    ROOT / "examples" / "hello_world" / "hello_world.py",
    ROOT / "examples" / "fan_out" / "fan_out.py",
    ROOT / "examples" / "text_processor" / "text_processor.py",
    ROOT / "examples" / "text_processor" / "client.py",
]
PROBE = """
from collections.abc import AsyncIterator

from dynamo.sdk import api, depends, dynamo_endpoint, service


@service(dynamo={"enabled": True})
class Backend:
    @dynamo_endpoint()
    async def generate(self, text: str) -> AsyncIterator[int]:
        yield 1


@service
class Frontend:
    backend = depends(Backend)

    @api
    async def ask(self, text: str) -> AsyncIterator[int]:
        async for item in self.backend.generate(text):
            yield item

    @api
    async def wrong(self, text: str) -> None:
        self.backend.misspelt(text)
        self.backend.generate(3)
"""


def mypy(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file",
        str(ROOT / "pyproject.toml"),
        "--no-error-summary",
    ]
    return subprocess.run([*command, *map(str, files)], capture_output=True, text=True, cwd=ROOT, check=False)


def pyright(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]
    return subprocess.run([*command, *map(str, files)], capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_the_examples_are_typed(checker):
    """mypy in its strict mode, and pyright."""
    done = checker(*EXAMPLES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_a_dependency_has_the_endpoints_of_its_service(checker, tmp_path):
    """A misspelt endpoint and a wrong argument are found; a right call is not."""
    file = tmp_path / "probe.py"
    file.write_text(PROBE)
    done = checker(file)
    lines = [line for line in done.stdout.splitlines() if "error" in line and "probe.py" in line]
    assert len(lines) == 2, done.stdout
    assert "misspelt" in lines[0]
