"""Modules and functions of both distributions, and the exceptions from rules that are still to be removed."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KNOWN = ROOT / "tests" / "data" / "house_known.txt"
SOURCES = {"dynamo_build": ROOT / "dynamo_build", "dynamo": ROOT / "runtime" / "dynamo"}


@dataclass(frozen=True, slots=True)
class Function:
    """A function or method as it is defined: `owner` is its class, or empty."""

    path: str
    owner: str
    name: str
    decorators: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """The words of its name."""
        return [word for word in self.name.split("_") if word]


@functools.cache
def modules(distribution: str) -> tuple[Path, ...]:
    """All modules of one distribution."""
    return tuple(sorted(SOURCES[distribution].rglob("*.py")))


@functools.cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(path.read_text())


def relative(path: Path) -> str:
    """The path from the root of the repository."""
    return str(path.relative_to(ROOT))


def functions(distribution: str) -> Iterator[Function]:
    """All functions and methods of one distribution, without those inside of functions."""
    for path in modules(distribution):
        yield from _functions(relative(path), "", tree(path))


def _functions(path: str, owner: str, node: ast.AST) -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Function(path, owner, child.name, tuple(map(ast.unparse, child.decorator_list)))
        elif not isinstance(child, ast.Lambda):
            yield from _functions(path, child.name if isinstance(child, ast.ClassDef) else owner, child)


def protocol_methods(distribution: str) -> set[str]:
    """Names that a protocol of the distribution gives to the methods of its implementations."""
    return {
        function.name
        for path in modules(distribution)
        for kind in ast.walk(tree(path))
        if isinstance(kind, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in kind.bases)
        for function in kind.body
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def compare_known(
    rule: str, violations: Iterable[str], advice: str, details: Mapping[str, Sequence[str]] | None = None
) -> None:
    """Fail for a violation that is not listed for the rule in `KNOWN`, and for a listed one that is none any more.

    `details` are what the message says of a violation beside its entry.
    """
    lines = (line.partition(": ") for line in KNOWN.read_text().splitlines() if not line.startswith("#"))
    known = {entry for name, _, entry in lines if name == rule}
    found = set(violations)
    new, gone = sorted(found - known), sorted(known - found)
    said = "".join(f"\n  {' '.join([entry, *(details or {}).get(entry, ())])}" for entry in new)
    assert not new, f"{len(new)} new violations of the rule `{rule}`. {advice}{said}"
    said = "".join(f"\n{rule}: {entry}" for entry in gone)
    assert not gone, f"These are violations no more. Delete their lines in {relative(KNOWN)}:{said}"
