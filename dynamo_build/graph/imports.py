"""Imports of a project's code, read from its text."""

from __future__ import annotations

import ast
import codecs
import os
import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Literal

from dynamo.sdk.graph import Position

#: `needed` is imported whenever its file is; `guarded` may fail or not be reached; `deferred` waits in a function.
Need = Literal["needed", "guarded", "deferred"]
#: Where an import may begin, whatever stands around it: a line, a clause, a statement after another.
_MENTION = re.compile(rb"(?:^|[;:])[ \t\f]*(import|from)\b[ \t\f]*([^\n;#]*)", re.MULTILINE)
_GUARDS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One import of a module from outside the project, by its dotted name."""

    module: str
    where: Position
    need: Need = "needed"

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """The project's files that a graph's modules lead to, and what these import from elsewhere."""

    files: tuple[str, ...]
    imports: tuple[Import, ...]


def start_of(target: str, project: Path) -> tuple[str, ...]:
    """The file that a target names, relative to the project; () when its text alone does not say."""
    where = target.partition(":")[0]
    if where.endswith(".py"):
        name = os.path.normpath(where)
        return (name,) if not name.startswith(("..", "/")) and (project / name).is_file() else ()
    return tuple(_files_of(where, project)[-1:]) if where else ()


def reach(project: Path, files: Iterable[str]) -> Reached:
    """Follow imports from these files through the project. A file that is no Python is left to those who run it."""
    waiting = sorted(set(files), reverse=True)
    seen = set(waiting)
    found: dict[tuple[str, str, str], Import] = {}
    while waiting:
        file = waiting.pop()
        for module, line, need in _read(project, file):
            own = _files_of(module, project)
            for other in own:
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
            if not own and not _is_folder(module, project):
                found.setdefault(
                    (module.partition(".")[0], file, need),
                    Import(module=module, where=Position(file=file, line=line), need=need),
                )
    return Reached(files=tuple(sorted(seen)), imports=tuple(found[key] for key in sorted(found)))


def imports_of(project: Path, files: Iterable[str], known: Container[str] = ()) -> Iterator[Import]:
    """What these files themselves import, the project's own modules too, in the order of files and lines.

    A file that mentions no module but `known` ones is not parsed, which would cost thirty times as much as a look.
    """
    for file in sorted(files):
        if known and not _mentions_other(project / file, known):
            continue
        for module, line, need in _read(project, file):
            yield Import(module=module, where=Position(file=file, line=line), need=need)


def _files_of(module: str, project: Path) -> list[str]:
    """The project's files that importing a module runs: its packages from the outside in, then the module."""
    found = []
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        stem = "/".join(parts[:count])
        if (project / stem / "__init__.py").is_file():
            found.append(f"{stem}/__init__.py")
        elif (project / f"{stem}.py").is_file():
            found.append(f"{stem}.py")
            break
        elif native := next((name for end in EXTENSION_SUFFIXES if (project / (name := stem + end)).is_file()), ""):
            found.append(native)
            break
    return found


def _is_folder(module: str, project: Path) -> bool:
    """Whether the name is a folder of code without `__init__.py`."""
    folder = project / module.partition(".")[0]
    return folder.is_dir() and any(folder.rglob("*.py"))


def _read(project: Path, file: str) -> Iterator[tuple[str, int, Need]]:
    try:
        tree = ast.parse((project / file).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    package = file.removesuffix(".py").split("/")[:-1]
    for node, need in sorted(_imports(tree.body, "needed"), key=lambda found: found[0].lineno):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, node.lineno, need
            continue
        if node.level > len(package) + 1:
            continue
        outer = package[: len(package) - node.level + 1] if node.level else []
        module = ".".join([*outer, *([node.module] if node.module else [])])
        if module:
            yield module, node.lineno, need
        for name in node.names:
            inner = f"{module}.{name.name}" if module else name.name
            if _files_of(inner, project):
                yield inner, node.lineno, need


def _mentions_other(path: Path, known: Container[str]) -> bool:
    """Whether a text may import a module that is not known: its lines and clauses that begin as an import does."""
    try:
        text = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError:
        return False
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for match in _MENTION.finditer(text):
        names = match[2].split(b",") if match[1] == b"import" else [match[2]]
        for name in names:
            top = name.split()[:1]
            if not (top and top[0].startswith(b".")) and (
                not top or top[0].partition(b".")[0].decode(errors="replace") not in known
            ):
                return True
    return False


def _imports(body: Iterable[ast.stmt], need: Need) -> Iterator[tuple[ast.Import | ast.ImportFrom, Need]]:
    waiting: list[tuple[ast.AST, Need]] = [(statement, need) for statement in body]
    while waiting:
        node, need = waiting.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node, need
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting += [(inner, "deferred" if need == "needed" else need) for inner in node.body]
        elif isinstance(node, ast.If):
            waiting += [] if _only_for_types(node.test) else [(inner, _weaker(need)) for inner in node.body]
            waiting += [(inner, need if _only_for_types(node.test) else _weaker(need)) for inner in node.orelse]
        elif isinstance(node, (ast.Try, ast.TryStar)) and any(_catches(handler.type) for handler in node.handlers):
            inner_nodes = [*node.body, *node.orelse, *(each for handler in node.handlers for each in handler.body)]
            waiting += [(inner, _weaker(need)) for inner in inner_nodes]
            waiting += [(inner, need) for inner in node.finalbody]
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            need = _weaker(need) if any(_suppresses(item.context_expr) for item in node.items) else need
            waiting += [(inner, need) for inner in node.body]
        elif isinstance(node, (ast.stmt, ast.ExceptHandler, ast.match_case)):
            children = ast.iter_child_nodes(node)
            waiting += [
                (inner, need) for inner in children if isinstance(inner, (ast.stmt, ast.ExceptHandler, ast.match_case))
            ]


def _weaker(need: Need) -> Need:
    return "guarded" if need == "needed" else need


def _only_for_types(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _catches(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(isinstance(name, ast.Name) and name.id in _GUARDS for name in names)


def _suppresses(expression: ast.expr) -> bool:
    if not isinstance(expression, ast.Call):
        return False
    function = expression.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name == "suppress" and any(_catches(argument) for argument in expression.args)
