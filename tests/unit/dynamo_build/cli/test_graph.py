"""`dynamo graph`, as a user runs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from support.command_line import dynamo

ROOT = Path(__file__).resolve().parent.parent.parent.parent.parent


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "examples/hello_world", tmp_path / "p")
    return tmp_path / "p"


def test_before_a_build_and_of_a_bento(project: Path) -> None:
    """The graph is drawn from code and from the store, to stdout and to a file whose ending gives the form."""
    drawn = dynamo("graph", "hello_world:Frontend", folder=project)
    assert drawn.returncode == 0, drawn.stderr
    assert [line.split()[1] for line in drawn.stdout.splitlines()] == ["Frontend", "Middle", "Backend"]
    tag = dynamo("build", "hello_world:Frontend", "-o", "name", folder=project).stdout.strip()
    assert dynamo("graph", folder=project).stdout == drawn.stdout
    assert json.loads(dynamo("graph", "--tag", tag, "--format", "json", folder=project).stdout)["entry"] == "Frontend"
    assert dynamo("graph", "--output-file", "graph.svg", folder=project).returncode == 0
    assert (project / "graph.svg").read_text().startswith("<svg")


def test_mistakes(project: Path) -> None:
    """An unknown form, two sources at once, a folder that is not there: one line each."""
    for arguments, code in (
        (("graph", "hello_world:Frontend", "--format", "png"), 2),
        (("graph", "hello_world:Frontend", "--tag", "x"), 2),
        (("graph", "hello_world:Frontend", "--output-file", "no/where.svg"), 2),
        (("graph", "--tag", "x"), 16),
        (("graph", "hello_world:Nobody"), 10),
    ):
        failed = dynamo(*arguments, folder=project)
        assert failed.returncode == code, failed.stderr
        assert "Traceback" not in failed.stderr and failed.stdout == ""


def test_a_terminal_that_is_not_utf8(project: Path) -> None:
    """Lines and names become what the encoding has; no command ends by its own output."""
    narrow = {"LC_ALL": "C", "LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    drawn = dynamo("graph", "hello_world:Frontend", folder=project, **narrow)
    assert drawn.returncode == 0, drawn.stderr
    assert drawn.stdout.splitlines()[1].startswith("   `- Middle")
    failed = dynamo("graph", "grüße:Frontend", folder=project, **narrow)
    assert failed.returncode == 10 and "Traceback" not in failed.stderr and "gr" in failed.stderr
