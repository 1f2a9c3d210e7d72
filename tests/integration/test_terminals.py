"""Every command on a narrow terminal, in a pipe, without colours and in a locale that knows no Unicode."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer

from dynamo_build.cli.app import COMMANDS, app
from support.hello import ROOT

ASCII = {"LC_ALL": "C", "LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
PLACES = {
    "plain": {},
    "20 columns": {"COLUMNS": "20"},
    "40 columns": {"COLUMNS": "40"},
    "no colour": {"NO_COLOR": "1", "COLUMNS": "200"},
    "ASCII": ASCII,
    "Latin-1": {"PYTHONIOENCODING": "latin-1"},
}
#: typer lays its help out for at least this many; a narrower terminal folds the lines.
LEAST = 51
#: What a user types first, over a bento with a name in another alphabet among its files.
OUTPUTS = {
    "build": ["build", "hello_world:Frontend", "--dry-run"],
    "list": ["list"],
    "get": ["get", "frontend"],
    "tree": ["tree", "frontend"],
    "graph": ["graph", "hello_world:Frontend"],
    "graph as a page": ["graph", "--format", "html"],
    "verify": ["verify", "frontend"],
    "diff": ["diff", "frontend:latest", "frontend:latest"],
    "env": ["env"],
    "doctor": ["doctor"],
    "init": ["init", "hello", "--template", "nothing"],
    "unknown": ["biuld"],
    "manifests": ["deploy", "--image", "registry.example/team/frontend@sha256:" + "0" * 64],
}


def commands() -> Iterator[tuple[str, ...]]:
    """Every command by its words."""
    group = typer.main.get_command(app)
    for name in COMMANDS:
        yield (name,)
        yield from ((name, inner) for inner in getattr(group.get_command(None, name), "commands", ()))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its bento."""
    folder = tmp_path_factory.mktemp("terminals")
    shutil.copytree(ROOT / "examples/hello_world", folder / "project")
    (folder / "project" / "größe.txt").write_text("Größe → …")
    built = ran(folder / "project", ["build", "hello_world:Frontend", "--quiet"], {})
    assert built.returncode == 0, built.stderr
    return folder / "project"


def ran(folder: Path, words: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    around = {**os.environ, "DYNAMO_HOME": str(folder.parent / "home"), **environment}
    command = [sys.executable, "-m", "dynamo_build", *words]
    return subprocess.run(command, cwd=folder, env=around, capture_output=True, stdin=subprocess.DEVNULL)


@cache
def helped(words: tuple[str, ...], place: str) -> tuple[int, str, bytes]:
    """Code, stderr and stdout of `--help`."""
    environment = {**os.environ, **PLACES[place]}
    done = subprocess.run(
        [sys.executable, "-m", "dynamo_build", *words, "--help"], env=environment, capture_output=True
    )
    return done.returncode, done.stderr.decode(), done.stdout


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_help(words: tuple[str, ...]) -> None:
    """It has an example, fits the terminal as far as typer goes, and says the same in ASCII."""
    code, err, narrow = helped(words, "20 columns")
    assert (code, err) == (0, "")
    assert max(map(len, narrow.decode().splitlines())) <= LEAST
    code, err, plain = helped(words, "ASCII")
    assert (code, err) == (0, "")
    assert b"Example:" in plain and b"\x1b" not in plain
    plain.decode("ascii")


@pytest.mark.parametrize("place", [name for name in PLACES if name != "plain"])
@pytest.mark.parametrize("name", OUTPUTS)
def test_output(project: Path, name: str, place: str) -> None:
    """The same end as elsewhere, no traceback, no escape sequence; every sign is one that the place has."""
    there = ran(project, OUTPUTS[name], PLACES[place])
    assert there.returncode == expected(project, name), there.stderr
    said = there.stdout + there.stderr
    assert b"Traceback" not in said and b"\x1b" not in said
    if place == "ASCII":
        said.decode("ascii")
    if place == "ASCII" and name == "build":
        assert versions(there.stdout) == versions(ran(project, OUTPUTS[name], {}).stdout)
    if place in ("no colour", "40 columns") and name not in ("doctor", "env"):
        assert there.stdout == ran(project, OUTPUTS[name], {}).stdout  # what a pipe gets does not follow the terminal


def versions(said: bytes) -> list[bytes]:
    """Digests and sizes, but no name."""
    return re.findall(rb"[0-9a-f]{12,}|\d+(?:\.\d+)? \w+", said)


@cache
def expected(project: Path, name: str) -> int:
    return ran(project, OUTPUTS[name], {}).returncode


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["colour", "NO_COLOR", "dumb"])
def test_terminal(project: Path, environment: dict[str, str]) -> None:
    """An error has colours on a terminal, and none where they are not wanted."""
    ours, theirs = pty.openpty()
    around = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    around |= {"TERM": "xterm", "DYNAMO_HOME": str(project.parent / "home"), **environment}
    command = [sys.executable, "-m", "dynamo_build", "build", "nothing:There"]
    done = subprocess.Popen(command, cwd=project, env=around, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 4096):
            said += part
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    assert done.wait(30) != 0
    assert (b"\x1b[31m" in said) == (not environment)
    assert b"error: " in said


@pytest.mark.parametrize(
    "words", [["list"], ["graph", "--format", "html"], ["get", "frontend", "-o", "json"], ["--help"]]
)
def test_reader_that_leaves(project: Path, words: list[str]) -> None:
    """`dynamo … | head -c 1`: not a word."""
    around = {**os.environ, "DYNAMO_HOME": str(project.parent / "home")}
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "dynamo_build", *words]
    done = subprocess.run(command, cwd=project, env=around, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert done.returncode in (0, 1, 141), done.stderr
    assert done.stderr == b""
