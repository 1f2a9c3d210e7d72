"""`dynamo diff` and `dynamo tree`, as a user runs them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from support.command_line import dynamo

ROOT = Path(__file__).resolve().parent.parent.parent.parent.parent.parent


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "examples/hello_world", tmp_path / "p")
    return tmp_path / "p"


def test_diff_and_tree(project: Path) -> None:
    """Two builds with a changed file and a setting between them; the services from the entry down."""
    one = dynamo("build", "hello_world:Frontend", "-o", "name", folder=project).stdout.strip()
    (project / "notes.txt").write_text("x")
    two = dynamo("build", "hello_world:Frontend", "--Frontend.tone=dry", "-o", "name", folder=project).stdout.strip()
    found = dynamo("diff", one, two, folder=project)
    assert found.returncode == 0, found.stderr
    assert "files     + notes.txt" in found.stdout
    assert "config    + Frontend.tone: dry" in found.stdout
    assert "layers    ~ code: " in found.stdout and "layers    ~ config: " in found.stdout
    assert json.loads(dynamo("diff", one, two, "-o", "json", folder=project).stdout)["files"][0]["what"] == "notes.txt"
    assert dynamo("diff", one, one, folder=project).stdout.strip() == f"{one} and {one} are the same"
    shown = dynamo("tree", folder=project).stdout
    assert shown.startswith(two) and shown.index("Frontend") < shown.index("Middle") < shown.index("Backend")
    assert json.loads(dynamo("tree", "-o", "json", folder=project).stdout)["service"] == "Frontend"
    assert dynamo("diff", one, "nothing", folder=project).returncode == 16
