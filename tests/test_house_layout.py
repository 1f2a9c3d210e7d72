"""Folders and names of modules, imports between them, and the places of their tests."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from support import house
from support.house import ROOT, compare_known, modules, relative, tree

DISTRIBUTIONS = sorted(house.SOURCES)
MOST_ENTRIES = 20

#: Modules of these folders may have the name of a module elsewhere.
SHARED_STEMS = {
    "dynamo_build/cli/": "a command's module has the name of the command",
    "dynamo_build/packages/lockers/": "an implementation of the seam has the name of its tool",
    "dynamo_build/deploy/targets/": "an implementation of the seam has the name of its target",
    "runtime/dynamo/coordination/nats/": "implements the modules of coordination/, name for name",
    "runtime/dynamo/rpc/nats.py": "implements the transport with the tool of its name",
    "runtime/dynamo/sdk/lib/": "import paths that authors of services know",
    "runtime/dynamo/llm/serving.py": "a former place, for one version",
    "runtime/dynamo/supervisor.py": "the entry point that packed runtimes are started by",
}

#: Names that their owners do not document, and the one module that may use each.
PRIVATE_NAMES = {
    "_signal": "dynamo_build/__main__.py",
    "_post": "dynamo_build/builders/docker/build_request.py",
    "_raise_for_status": "dynamo_build/builders/docker/build_request.py",
    "_stream_helper": "dynamo_build/builders/docker/build_request.py",
    "_url": "dynamo_build/builders/docker/build_request.py",
    "server_state": "runtime/dynamo/http/http_server.py",
    "typer._click": "dynamo_build/cli/click_errors.py",
}
#: Their public names are modules, as those of the package that they stand for.
LATE_MODULES = {"runtime/dynamo/sdk/compatible/bentoml/__init__.py"}
UNDOCUMENTED = {"server_state"}
"""Undocumented names that do not begin with an underscore."""
DOCUMENTED = {"_exit", "_getframe", "_replace", "_thread"}
"""Names that begin with an underscore and are documented: of os, sys, named tuples, and a module."""


def test_folders_are_small() -> None:
    """No folder of sources has more than 20 modules and folders."""
    large = []
    for top in house.SOURCES.values():
        for folder in (top, *(path for path in top.rglob("*") if path.is_dir())):
            entries = [path for path in folder.iterdir() if path.suffix == ".py" or _holds_modules(path)]
            if len(entries) > MOST_ENTRIES:
                large.append(relative(folder))
    compare_known("entries of a folder", large, f"Divide folders with more than {MOST_ENTRIES} entries by subject:")


def _holds_modules(path: Path) -> bool:
    return path.is_dir() and any(path.rglob("*.py"))


def test_modules_have_names_of_their_own() -> None:
    """Two modules of one distribution have one name only where they implement one seam."""
    doubles = {}
    for distribution in DISTRIBUTIONS:
        by_stem = defaultdict(list)
        for path in modules(distribution):
            if path.stem not in {"__init__", "__main__"} and not relative(path).startswith(tuple(SHARED_STEMS)):
                by_stem[path.stem].append(relative(path))
        doubles |= {f"{distribution} {stem}": paths for stem, paths in by_stem.items() if len(paths) > 1}
    compare_known("stems", doubles, "Give each module a name that no other module has:", doubles)


def test_exceptions_from_names_are_needed() -> None:
    """Each folder that may share names with others exists."""
    assert [path for path in SHARED_STEMS if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_nothing_is_exported_again(distribution: str) -> None:
    """No `from m import x as x`: a name has one home, and is imported from there."""
    again = [
        f"{relative(path)} {alias.name}"
        for path in modules(distribution)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    ]
    compare_known(f"exported again by {distribution}", again, "Import each name from the module that defines it:")


def test_names_loaded_late_are_no_modules() -> None:
    """Where a package loads names when they are first used, none is that of a module in it, which would take its place."""
    hidden = []
    for distribution in DISTRIBUTIONS:
        for path in modules(distribution):
            late = any(isinstance(node, ast.FunctionDef) and node.name == "__getattr__" for node in tree(path).body)
            if path.stem == "__init__" and late and relative(path) not in LATE_MODULES:
                lists = (
                    node
                    for node in tree(path).body
                    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
                )
                public = {name for node in lists for name in ast.literal_eval(node.value)}
                inside = {
                    entry.stem for entry in path.parent.iterdir() if entry.suffix == ".py" or _holds_modules(entry)
                }
                hidden += [f"{relative(path)} {name}" for name in public & inside]
    compare_known("late names", hidden, "Rename the module: after its import the package's name means the module:")


def test_private_names_have_one_door() -> None:
    """A name that its owner does not document is used in one module, where an update of it is dealt with."""
    used: dict[str, set[str]] = defaultdict(set)
    for distribution in DISTRIBUTIONS:
        for path in modules(distribution):
            for name in _private_names(tree(path)):
                used[name].add(relative(path))
    wrong = {name: paths for name, paths in used.items() if paths != {PRIVATE_NAMES.get(name)}}
    assert wrong == {}, "Use what is documented, or go through the module that PRIVATE_NAMES names"
    assert sorted(set(PRIVATE_NAMES) - set(used)) == [], "Delete what is not used any more from PRIVATE_NAMES"


def _private_names(module: ast.Module) -> set[str]:
    """Names with an underscore in front that the module takes from elsewhere, and undocumented ones."""
    own = {node.name for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    used, imported = set(), set()
    for node in ast.walk(module):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            own.add(node.target.id)
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}:
                own.add(node.attr)
            elif _is_private(node.attr) or node.attr in UNDOCUMENTED:
                used.add(node.attr)
        if isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names if _is_private(alias.name)]
            steps = (node.module or "").split(".")
            inner = next((number for number, step in enumerate(steps, 1) if _is_private(step)), 0)
            imported |= set(names) or ({".".join(steps[:inner])} if inner else set())
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names if any(map(_is_private, alias.name.split(".")))}
    return (used - own | imported) - DOCUMENTED


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def test_unit_tests_lie_path_for_path() -> None:
    """`tests/unit/a/test_b.py` or `test_b_topic.py` tests `a/b.py` or the package `a/b`; `a/test_a.py` the package `a`."""
    unit = ROOT / "tests" / "unit"
    lost = []
    for path in sorted(unit.rglob("test_*.py")):
        below = path.relative_to(unit)
        folder = (ROOT / "runtime" if below.parts[0] == "dynamo" else ROOT) / below.parent
        words = path.stem.removeprefix("test_").split("_")
        stems = ["_".join(words[:length]) for length in range(len(words), 0, -1)]
        if not any(
            (folder / f"{stem}.py").exists() or (folder / stem).is_dir() or stem == folder.name for stem in stems
        ):
            lost.append(str(below))
    compare_known("unit tests", lost, "Move each test beside the path of the module that it tests:")


#: Everything of the runtime that the toolchain may import: values and texts of the SDK, and the control socket's door.
RUNTIME_NAMES = {
    "dynamo",  # where the package lies, and its version
    "dynamo.process.control_socket",
    "dynamo.sdk.arguments",
    "dynamo.sdk.codec",
    "dynamo.sdk.compatible",
    "dynamo.sdk.config",
    "dynamo.sdk.graph",
    "dynamo.sdk.references",
    "dynamo.sdk.running",
    "dynamo.sdk.suggestions",
}


def test_the_toolchain_imports_these_modules_of_the_runtime() -> None:
    """The list is complete, and every line of it is needed."""
    top = ROOT / "runtime"
    used = set()
    for path in modules("dynamo_build"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names if alias.name.split(".")[0] == "dynamo"}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dynamo":
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    place = top / inner.replace(".", "/")
                    used.add(inner if place.with_suffix(".py").is_file() or place.is_dir() else str(node.module))
    assert used == RUNTIME_NAMES
