"""Imports of packed code that a graph does not lead to: each is there in the image, or a problem with what to do."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

from dynamo.sdk.graph import Problem
from dynamo_build.graph.discover import find
from dynamo_build.graph.unreached import ruling, stray
from dynamo_build.model.plan import BuildOptions, Lock, LockedPackage
from dynamo_build.packages import lockfile
from dynamo_build.packages.requirements import require
from dynamo_build.project.files import survey
from support.command_line import dynamo

GRAPH = "from dynamo.sdk import service\n@service\nclass A: ...\n"


def project(folder: Path, files: dict[str, str], *packages: str) -> Path:
    for name, text in {"m.py": GRAPH, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(dedent(text))
    wanted, _, _ = require(folder, ["m.py"], BuildOptions())
    own = tuple(LockedPackage(name=name, version="1.0", hashes=("sha256:" + "0" * 64,)) for name in packages)
    (folder / lockfile.NAME).write_bytes(
        lockfile.dump(Lock(python=wanted.python, packages={"linux/amd64": own}), wanted)
    )
    return folder


def problems(folder: Path, options: BuildOptions | None = None, recorded: tuple[str, ...] = ()) -> tuple[Problem, ...]:
    options = options or BuildOptions()
    found = find("m:A", folder, options)
    wanted, _, _ = require(folder, found.reached.files, options)
    files = survey(str(folder), exclude=options.exclude).files
    return stray(found, wanted, files, folder, options, lambda lock: frozenset(recorded))


def test_what_nothing_provides_is_a_problem_with_what_to_do(tmp_path: Path) -> None:
    """The requirement, `runtime_only`, or the line that leaves the file out."""
    (told,) = problems(project(tmp_path, {"plugin.py": "import json\nimport nowhere.deep\n"}))
    assert str(told.where) == "plugin.py:2"
    assert told.message == "`nowhere` is imported, but no requirement of the project provides it"
    assert "Add `nowhere` to requirements.txt" in told.hint
    assert 'runtime_only = ["nowhere"]' in told.hint
    assert "add `/plugin.py` to .bentoignore" in told.hint


def test_a_module_is_told_once_and_every_one_is(tmp_path: Path) -> None:
    """With the number of files that import it, and the lines that leave all of them out."""
    tests = {f"tests/deep/test_{number}.py": "import pytest\n" for number in range(9)}
    files = {**tests, "conftest.py": "import pytest\n", "setup.py": "from setuptools import setup\n"}
    first, second = problems(project(tmp_path, files))
    assert first.message.startswith("`pytest` is imported here and in 9 more files, but no requirement")
    assert first.hint.startswith("The graph does not import it: add `/conftest.py`, `/tests/` to .bentoignore.")
    assert "add `pytest` to requirements.txt" in first.hint
    assert "`/setup.py`" in second.hint


def test_the_lines_of_a_hint_leave_the_files_out(tmp_path: Path) -> None:
    """They are valid patterns, and the graph's own files stay."""
    files = {"tests/test_a.py": "import pytest\n", "conftest.py": "import pytest\n", "odd name.py": "import pytest\n"}
    folder = project(tmp_path, files)
    (told,) = problems(folder)
    lines = [line for line in re.findall(r"`([^`]+)`", told.hint) if line.startswith("/")]
    (folder / ".bentoignore").write_text("".join(f"{line}\n" for line in lines))
    assert problems(folder) == ()
    assert [file.path for file in survey(str(folder)).files] == [".bentoignore", "m.py"]


def test_a_folder_that_the_graph_leads_into_is_never_left_out(tmp_path: Path) -> None:
    """Whatever its name."""
    files = {"m.py": f"import tests.own\n{GRAPH}", "tests/own.py": "", "tests/other.py": "import nowhere\n"}
    (told,) = problems(project(tmp_path, files))
    assert "`/tests/other.py`" in told.hint


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import nowhere\nexcept ImportError:\n    nowhere = None",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import nowhere",
        "def later():\n    import nowhere",
        "import __main__, __future__, sys",
        "import sibling, other.part, deep",
        "from . import sibling",
        "from .. import part",
        "import compiled",
        "import torch, dynamo, pydantic, uvicorn, yaml",
        "import base_module.x, only_there",
        "import nowhere (",
    ],
)
def test_what_is_there_or_may_be_missing_is_none(tmp_path: Path, text: str) -> None:
    """Guarded imports, those of functions, packed modules from any folder, locked packages, the base's, no Python."""
    files = {
        "scripts/run.py": text,
        "scripts/sibling.py": "",
        "other/part.py": "",
        "scripts/inner/deep/__init__.py": "",
        "lib/compiled.cpython-311-x86_64-linux-gnu.so": "",
    }
    options = BuildOptions(base_modules=("base_module",), runtime_only=("only_there",))
    assert problems(project(tmp_path, files, "torch", "pyyaml"), options) == ()


def test_the_files_of_locked_wheels_are_asked(tmp_path: Path) -> None:
    """For what no name of a package tells."""
    folder = project(tmp_path, {"x.py": "import strange"}, "odd")
    assert problems(folder, recorded=("strange",)) == ()
    assert len(problems(folder)) == 1


def test_a_module_that_is_not_packed_is_a_problem(tmp_path: Path) -> None:
    """It is there on this machine only."""
    folder = project(tmp_path, {"x.py": "import helper", "helper.py": ""})
    (told,) = problems(folder, BuildOptions(exclude=("helper.py",)))
    assert told.message == "`helper` is not packed"
    assert told.hint.startswith("Take `helper` out of the ignore files")


def test_a_file_that_passed_is_read_again_when_something_else_decides(tmp_path: Path) -> None:
    """The ruling tells: packages, what is packed, what the graph leads to."""
    folder = project(tmp_path, {"x.py": "import torch", "y.py": ""}, "torch")
    options = BuildOptions()
    found, files = find("m:A", folder, options), survey(str(folder)).files
    passed = ruling(found, files, options)
    assert ruling(found, files, options) == passed
    assert ruling(found, files[:-1], options) != passed
    assert ruling(found, files, BuildOptions(runtime_only=("z",))) != passed
    other = find("m:A", project(folder, {}), options)
    assert ruling(other, files, options) != passed


def build(folder: Path, home: Path, *more: str, code: int = 0) -> str:
    done = dynamo("build", "m:A", *more, folder=folder, DYNAMO_HOME=str(home))
    assert done.returncode == code, done.stderr
    return done.stderr


def test_a_build_warns_every_time_and_fails_when_strict(tmp_path: Path) -> None:
    """Also where the file was read before, and was fine then; a secret is an error beside it."""
    home, folder = tmp_path / "home", project(tmp_path / "p", {"x.py": "import torch"}, "torch")
    assert "torch" not in build(folder, home, "--strict")
    assert "torch" not in build(folder, home)
    project(folder, {})
    for _ in range(2):
        assert "x.py:1: `torch` is imported, but no requirement of the project provides it" in build(folder, home)
    assert "x.py:1: error: `torch` is imported" in build(folder, home, "--strict", "-q", code=10)
    (folder / ".env").write_text("A=1\n")
    assert ".env: error: a file of this name holds secrets" in build(folder, home, "-q", code=10)


def test_a_dry_run_warns_too(tmp_path: Path) -> None:
    """It packs nothing."""
    folder = project(tmp_path / "p", {"x.py": "import torch"})
    assert "x.py:1: `torch` is imported" in build(folder, tmp_path / "home", "--dry-run")
    assert "x.py:1: error: `torch`" in build(folder, tmp_path / "home", "--dry-run", "--strict", code=10)
