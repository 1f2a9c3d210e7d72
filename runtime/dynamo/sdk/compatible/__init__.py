"""Projects that were written for another SDK: its module's name leads to one of ours, where the project uses it so.

A really installed package of that name is hidden only from the code of such a project: in the process that describes
the graph when a file decorates a service with it, and in the workers of the services that were made by it.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterable, Mapping
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from dynamo.sdk.errors import Unresolved
from dynamo.sdk.graph import Position, Problem, ServiceSpec

#: Set among the variables of a service that was made by another SDK's decorator.
VARIABLE = "DYNAMO_COMPATIBILITY"
NAMES = ("bentoml",)
_FOLDER = Path(__file__).resolve().parent
_LIBRARY = f"{_FOLDER.parent}{os.sep}"


class NotTakenOver(Unresolved, ImportError):
    """A part of the other SDK that has no counterpart here."""

    def __init__(self, what: str, hint: str) -> None:
        frame: Any = sys._getframe(1)
        while frame.f_back and frame.f_code.co_filename.startswith((_LIBRARY, "<frozen importlib", "<string>")):
            frame = frame.f_back
        where = Position(file=frame.f_code.co_filename, line=frame.f_lineno)
        Unresolved.__init__(self, Problem(where=where, message=f"`{what}` is not taken over", hint=hint))


def decorates(text: bytes) -> tuple[str, ...]:
    """The SDKs that a module's text makes services with."""
    mentioned = [name for name in NAMES if name.encode() in text]
    if not mentioned:
        return ()
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    marks: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            marks |= {f"{item.asname or item.name}.service": item.name for item in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            marks |= {item.asname or item.name: node.module or "" for item in node.names if item.name == "service"}
    used = {
        marks.get(ast.unparse(mark.func if isinstance(mark, ast.Call) else mark), "")
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for mark in node.decorator_list
    }
    return tuple(name for name in mentioned if name in used)


def find_used(project: str | os.PathLike[str], files: Iterable[str]) -> frozenset[str]:
    """The SDKs that these files of a project make services with."""
    found: set[str] = set()
    for file in files:
        try:
            found |= set(decorates(Path(project, file).read_bytes()))
        except OSError:
            continue
    return frozenset(found)


def find_layers(services: Iterable[ServiceSpec]) -> frozenset[str]:
    """The SDKs that the workers of these services need in place of the real ones."""
    return frozenset(each for spec in services for each in _read_names(spec.envs))


def _read_names(environment: Mapping[str, str]) -> list[str]:
    return [each for each in environment.get(VARIABLE, "").split(",") if each in NAMES]


class Finder:
    """Finds our module in place of another SDK's: of these names always, of others where the asking file uses it."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = set(names)

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        top, _, rest = name.partition(".")
        if top not in NAMES or not (top in self._names or self._uses(top)):
            return None
        self._names.add(top)
        file = _FOLDER.joinpath(top, *(rest or "__init__").split(".")).with_suffix(".py")
        if not file.is_file():
            raise NotTakenOver(name, f"`{top}` is stood in for: docs/how-to/from-{top}.md lists what it has.")
        within = None if rest else [str(_FOLDER / top)]
        return spec_from_file_location(name, file, submodule_search_locations=within)

    @staticmethod
    def _uses(name: str) -> bool:
        """Whether a file that is being imported makes services with that SDK; its helpers may ask first."""
        frame: Any = sys._getframe(2)
        files = {}
        while frame is not None:
            if frame.f_code.co_name == "<module>":
                files[frame.f_code.co_filename] = True
            frame = frame.f_back
        return name in find_used("", files)


def install(environment: Mapping[str, str] | None = None) -> None:
    """Answer from now on in this process: for what the variable names, or where a file's text says so."""
    names = [] if environment is None else _read_names(environment)
    if environment is None or names:
        sys.meta_path.insert(0, Finder(names))
