"""Compiled modules."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from dynamo_build.builders.oci.bytecode import Bytecode, find_compiler
from dynamo_build.errors import ImageBuildError, UsageError
from dynamo_build.events import Event, Noted, ignore
from dynamo_build.model.image import ImagePlan
from dynamo_build.model.reference import ImageReference

OURS = sys.version.split()[0].rstrip("+")
PLAN = ImagePlan(name="x", version="1", bento="", services=(), base=ImageReference.parse("b:1"), layers=())


def plan(choice: str) -> ImagePlan:
    from dataclasses import replace

    return replace(PLAN, bytecode=choice)


def files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def test_the_exact_python_compiles(tmp_path: Path) -> None:
    """Unchecked by hash, without a name of this machine; the same bytes from another folder; what is broken is left."""
    found = []
    for where in ("one", "two"):
        source = tmp_path / where / "source"
        (source / "pack").mkdir(parents=True)
        (source / "pack/good.py").write_text("KINDS = frozenset({'a', 'b', 'c'})\ndef f(x): return x in {1, 2, 'z'}\n")
        (source / "pack/broken.py").write_text("def (:\n")
        (source / "bin").mkdir()
        (source / "bin/tool.py").write_text("1\n")
        for folder in ("pack/tests", "pack/test/deep"):
            (source / folder).mkdir(parents=True)
            (source / folder / "test_good.py").write_text("2\n")
        with find_compiler(plan("auto"), OURS, os.environ, ignore) as compiling:
            assert compiling.version == OURS
            made = compiling.compile_modules(files(source), "/app/packages", tmp_path / where / "compiled")
        found.append({name: path.read_bytes() for name, path in made.items()})
    assert found[0] == found[1]
    ((name, content),) = found[0].items()
    assert name == f"pack/__pycache__/good.{sys.implementation.cache_tag}.pyc"
    assert content[:4] == importlib.util.MAGIC_NUMBER and content[4:8] == b"\x01\0\0\0"
    assert b"/app/packages/pack/good.py" in content and str(tmp_path).encode() not in content


@pytest.mark.parametrize("version", ["3.11.999", ""])
def test_another_python_compiles_nothing_and_says_so(version: str, tmp_path: Path) -> None:
    """One line, no file; an error where compiled modules are required."""
    heard: list[Event] = []
    compiling = find_compiler(plan("auto"), version, {}, heard.append)
    assert compiling.version == "none" and compiling.compile_modules({}, "/app", tmp_path / "out") == {}
    assert [type(event) for event in heard] == [Noted]
    with pytest.raises(ImageBuildError, match="compiled"):
        find_compiler(plan("require"), version, {}, ignore)


def test_none_is_none() -> None:
    """Asked for none, nothing is said; another word is refused."""
    assert find_compiler(plan("none"), OURS, {}, ignore).version == Bytecode().version == "none"
    with pytest.raises(UsageError, match="bytecode"):
        find_compiler(plan("maybe"), OURS, {}, ignore)
