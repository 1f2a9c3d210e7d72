"""Children that compile."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dynamo_build.builders.oci.bytecode import Compilers, Module
from dynamo_build.errors import ImageBuildError


def modules(source: Path, target: Path, count: int = 120) -> list[Module]:
    source.mkdir(exist_ok=True)
    found = []
    for number in range(count):
        path = source / f"m{number}.py"
        path.write_text(f"import re\nNAMES = ('[', 'a{number % 7}', {number})\ndef f(x): return x in NAMES\n")
        found.append(Module(source=str(path), target=str(target / f"m{number}.pyc"), shown=f"/app/m{number}.py"))
    return found


def test_neither_order_nor_children_show(tmp_path: Path) -> None:
    """What was compiled before, and by how many children, leaves no trace in the bytes."""
    made = []
    for name, count, step in (("one", 1, 1), ("more", 3, -1)):
        compilers = Compilers(sys.executable, count)
        wanted = modules(tmp_path / "source", tmp_path / name)
        assert sorted(compilers.compile(wanted[::step])) == sorted(module.target for module in wanted)
        compilers.close()
        made.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert made[0] == made[1]


def test_names_are_passed_as_they_are(tmp_path: Path) -> None:
    """A name of a wheel may hold line breaks, and bytes that are no text."""
    source = tmp_path / "so\nurce"
    source.mkdir()
    (source / "odd\udcff.py").write_text("A = 1\n")
    target = tmp_path / "odd.pyc"
    compilers = Compilers(sys.executable, 1)
    wanted = Module(source=str(source / "odd\udcff.py"), target=str(target), shown="/app/odd\udcff.py")
    assert compilers.compile([wanted]) == [str(target)] and target.stat().st_size > 16
    compilers.close()


def test_a_child_that_fails_is_one_error(tmp_path: Path) -> None:
    """A file that is gone, and a program that is none; what comes after gets a new child."""
    compilers = Compilers(sys.executable, 1)
    gone = Module(source=str(tmp_path / "gone.py"), target=str(tmp_path / "gone.pyc"), shown="/app/gone.py")
    with pytest.raises(ImageBuildError, match=r"gone\.py"):
        compilers.compile([gone])
    assert len(compilers.compile(modules(tmp_path / "source", tmp_path / "out", 3))) == 3
    compilers.close()
    none = Compilers(str(tmp_path / "no-python"), 1)
    with pytest.raises(ImageBuildError, match="cannot be compiled"):
        none.compile([gone])
    none.close()
