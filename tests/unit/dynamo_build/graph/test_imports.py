"""What a project's code imports, read from its text."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from dynamo_build.graph.imports import find_start_file, follow_imports, imports_of


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def found(folder: Path) -> list[tuple[str, str, str]]:
    return [(each.module, str(each.where), each.need) for each in follow_imports(folder, ["m.py"]).imports]


def test_the_first_line_of_a_module_is_told_once_per_file(tmp_path: Path) -> None:
    """By its dotted name there."""
    folder = write(tmp_path, m="import a.b\nimport a\nfrom a import c\nimport n\n", n="\nimport a\n")
    assert found(folder) == [("a.b", "m.py:1", "needed"), ("a", "n.py:2", "needed")]


@pytest.mark.parametrize(
    ("text", "need"),
    [
        ("class A:\n    import x", "needed"),
        ("for i in ():\n    import x", "needed"),
        ("with open('f'):\n    import x", "needed"),
        ("match 1:\n    case 1:\n        import x", "needed"),
        ("try:\n    import x\nexcept ValueError:\n    pass", "needed"),
        ("try:\n    pass\nexcept ImportError:\n    pass\nfinally:\n    import x", "needed"),
        ("if a:\n    import x", "guarded"),
        ("try:\n    pass\nexcept ImportError:\n    import x", "guarded"),
        ("try:\n    import x\nexcept:\n    pass", "guarded"),
        ("with contextlib.suppress(ImportError):\n    import x", "guarded"),
        ("async def f():\n    import x", "deferred"),
        ("class A:\n    def f(self):\n        if a:\n            import x", "deferred"),
        ("import typing\nif typing.TYPE_CHECKING:\n    import y\nelse:\n    import x", "needed"),
    ],
)
def test_how_much_an_import_is_needed(tmp_path: Path, text: str, need: str) -> None:
    """By the statements around it."""
    imports = [each for each in found(write(tmp_path, m=text)) if each[0] not in ("typing", "contextlib")]
    assert [(module, how) for module, _, how in imports] == [("x", need)]


def test_imports_are_followed_through_the_project(tmp_path: Path) -> None:
    """Packages, relative names, names that are modules, folders without `__init__`, circles."""
    folder = write(
        tmp_path,
        m="from p import q\nimport folder.inner\nfrom . import z\n",
        p____init__="",
        p__q="from .r import deep\nfrom .. import z\nimport m\n",
        p__r="import outside\n",
        folder__inner="from folder import other\n",
        folder__other="",
        z="",
    )
    (folder / "p" / "__init__.py").write_text("")
    reached = follow_imports(folder, ["m.py"])
    assert [each.module for each in reached.imports] == ["outside"]
    assert {"m.py", "p/__init__.py", "p/q.py", "p/r.py", "z.py"} <= set(reached.files)
    assert {"folder/inner.py", "folder/other.py"} <= set(reached.files)


@pytest.mark.parametrize("text", ["import (", "\x00", "x = " + "(" * 300, "from ..... import x"])
def test_text_that_is_no_module_is_left_alone(tmp_path: Path, text: str) -> None:
    """Who imports it says what is wrong."""
    assert found(write(tmp_path, m=text)) == []


@pytest.mark.parametrize(
    ("target", "files"),
    [
        ("m:A", ("m.py",)),
        ("p.q:A", ("p/q.py",)),
        ("p/q.py:A", ("p/q.py",)),
        ("m", ("m.py",)),
        ("", ()),
        ("nowhere:A", ()),
        ("../m.py:A", ()),
    ],
)
def test_where_a_target_starts(tmp_path: Path, target: str, files: tuple[str, ...]) -> None:
    """A module, a file, or what only the import can tell."""
    assert find_start_file(target, write(tmp_path, m="", p__q="")) == files


@pytest.mark.parametrize(
    "text",
    [
        "import x",
        "import json, x",
        "import json as j, x.y as z",
        "from x import json",
        "from x.y import (\n    json,\n)",
        "if 1: import x",
        "json = 1; import x",
        "try:\n  pass\nfinally:\n\timport x",
        "import \\\n  x",
        "import json, \\\n  x",
        "from \\\n x import json",
        "\ufeffimport x",
        "\fimport x",
        "import json\rimport x\r",
        "import json\r\nimport x\r\n",
        "import x # json",
        "import json # really\nclass A:\n    import x",
        "with open('f') as json: from x import y",
        "match 1:\n case 1: import x",
    ],
)
def test_a_file_is_parsed_where_it_may_import_what_is_not_known(tmp_path: Path, text: str) -> None:
    """However the import is written."""
    (tmp_path / "m.py").write_bytes(text.encode())
    known = frozenset({"json"})
    assert "x" in {each.top for each in imports_of(tmp_path, ["m.py"], known)}
    assert list(imports_of(tmp_path, ["m.py"], known)) == list(imports_of(tmp_path, ["m.py"]))


def test_a_file_of_known_imports_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative names are the project's own."""
    (tmp_path / "m.py").write_text("import json, os.path as p\nfrom json import a\nfrom . import b\nfrom .c import d\n")
    monkeypatch.setattr("ast.parse", None)
    assert list(imports_of(tmp_path, ["m.py"], {"json", "os"})) == []


def test_native_modules_of_the_project_are_its_own(tmp_path: Path) -> None:
    """They are packed, and what they import nobody can read."""
    for suffix in EXTENSION_SUFFIXES:
        folder = tmp_path / suffix
        folder.mkdir()
        write(folder, m="import _fast\n")
        (folder / f"_fast{suffix}").write_bytes(b"\x7fELF\0")
        reached = follow_imports(folder, ["m.py"])
        assert (reached.files, reached.imports) == ((f"_fast{suffix}", "m.py"), ())
