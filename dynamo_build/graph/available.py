"""Modules that the image can import: standard library, locked packages, those of the base and of the settings.

A lock names distributions, and code names modules. A distribution's modules are its own name, what the table of
well-known others says, and, for an import that these leave open, what the files of its wheel say.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dynamo.sdk.graph import Problem
from dynamo.sdk.suggestions import find_closest
from dynamo_build.graph.imports import Import, Reached
from dynamo_build.graph.module_names import ADDED, MODULES, PREFIXES, REMOVED
from dynamo_build.model.plan import Lock, Requirements
from dynamo_build.packages import lockfile

#: Imported for real while a graph is described: the SDK and pydantic, which every image holds.
REAL = frozenset(
    {"dynamo", "pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection", "msgspec"}
)
#: What the runtime brings, by module: known before there is a lock.
_RUNTIME = frozenset({"click", "h11", "httptools", "msgspec", "nats", "nats_server", "uvicorn", "uvloop"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provided:
    """The top-level modules that an image will have beside the project's own. `complete` when a lock says so."""

    standard: frozenset[str]
    packages: frozenset[str]
    complete: bool = True

    def __contains__(self, module: str) -> bool:
        return module in self.standard or module in self.packages or module in REAL

    @property
    def stand_ins(self) -> tuple[str, ...]:
        """What is stood in for while the graph is described, installed or not."""
        return tuple(sorted(self.packages - REAL - self.standard))


def find_provided_modules(
    wanted: Requirements,
    lock: Lock | None = None,
    *,
    runtime_only: Iterable[str] = (),
    base: Iterable[str] = (),
    imports: Iterable[Import] = (),
    recorded: Callable[[Lock], frozenset[str]] | None = None,
) -> Provided:
    """What is there for `imports`: with a lock its packages, before that what the project asks for by name.

    `base` are the modules that the base image's label declares; `recorded` gives those of the locked wheels, and is
    asked only where an import is not known otherwise.
    """
    imports = tuple(imports)
    names = dict(_list_wanted_names(wanted))
    if lock is not None:
        names |= {package.name: package.version for packages in lock.packages.values() for package in packages}
    found = {name.partition(".")[0] for name in (*runtime_only, *base)} | _RUNTIME
    for name in names:
        found |= modules_of(name)
    standard = _list_standard_modules(wanted.python)
    # What may fail to import must fail, or not, alike on every machine: for it, what is installed here says nothing.
    unknown = {each.top for each in imports if each.need == "needed"} - standard - found - REAL
    found |= _find_installed(unknown, names, exact=lock is not None)
    left = {each.top for each in imports} - standard - found - REAL
    if left and lock is not None and recorded is not None:
        found |= recorded(lock) & left
    asked = len(wanted.lines) > len(_list_own_lines()) or bool(wanted.local)
    return Provided(standard=standard, packages=frozenset(found), complete=lock is not None or not asked)


def find_missing_imports(
    reached: Reached, has: Provided, project: Path
) -> tuple[tuple[Import, ...], tuple[Import, ...]]:
    """Imports that nothing provides: those that fail with their file, and those that fail when their function runs."""
    found = [each for each in reached.imports if each.top not in has]
    if found and (not reached.files or any(_extends_path(project / file) for file in reached.files)):
        found = [each for each in found if not _find_nested_folder(each.top, project)]
    needed = tuple(each for each in found if each.need == "needed")
    return needed, tuple(each for each in found if each.need == "deferred")


def explain_missing_import(each: Import, has: Provided, project: Path, python: str) -> Problem:
    """The problem of an import that nothing provides, with the line to add."""
    if each.top in sys.stdlib_module_names or any(each.top in names for names in REMOVED.values()):
        message = f"`{each.top}` is not in the standard library of Python {python}"
        return Problem(where=each.where, message=message, hint="Import what took its place.")
    message = f"`{each.top}` is imported, but no requirement of the project provides it"
    own = {path.stem for path in project.glob("*.py")}
    best = find_closest(each.top, {*own, *has.stand_ins, *REAL, *_select_public(has.standard)}, cutoff=0.8)
    if best:
        return Problem(where=each.where, message=message, hint=f"Did you mean `{best}`?")
    name = next(
        (name for name, modules in sorted(MODULES.items()) if each.top in modules), _guess_distribution(each.top)
    )
    line = (
        f'`"{name}",` to `dependencies` in pyproject.toml' if _has_project(project) else f"`{name}` to requirements.txt"
    )
    hint = f'Add {line}; if only the image has it, `runtime_only = ["{each.top}"]` to `[tool.dynamo.build]`.'
    if folder := _find_nested_folder(each.top, project):
        own_name = f"{folder.replace('/', '.')}.{each.top}"
        there = f"`{folder}` has a module of that name: import it as `{own_name}`, or run the command in `{folder}`."
        hint = f"{there} Only where a package is meant: a{hint[1:]}"
    return Problem(where=each.where, message=message, hint=hint)


def _guess_distribution(module: str) -> str:
    return module.strip("_").replace("_", "-") or module


def add_modules(has: Provided, imports: Iterable[Import]) -> Provided:
    """With these modules too, so that a graph can be described although something is missing."""
    return replace(has, packages=has.packages | {each.top for each in imports})


def modules_of(distribution: str) -> frozenset[str]:
    """The top-level modules that a distribution is known or supposed to have."""
    name = lockfile.normalize_name(distribution)
    found = {name.replace("-", "_"), *MODULES.get(name, ())}
    found |= {module for prefix, module in PREFIXES.items() if name.startswith(prefix)}
    return frozenset(found)


def _list_wanted_names(wanted: Requirements) -> Iterator[tuple[str, str]]:
    for line in wanted.lines:
        if match := _NAME.match(line):
            yield lockfile.normalize_name(match[0]), ""
    for package in wanted.local:
        yield package.name, ""


def _list_own_lines() -> tuple[str, ...]:
    from dynamo_build.packages import runtime_wheel

    return runtime_wheel.list_runtime_requirements()


def _list_standard_modules(python: str) -> frozenset[str]:
    """The standard library of a Python, from that of the running one and what changed between the two."""
    found = {*sys.stdlib_module_names, "__main__"}
    wanted = _parse_version(python)
    for version, names in REMOVED.items():
        if _parse_version(version) <= wanted:
            found -= names
        elif _parse_version(version) <= sys.version_info[:2]:
            found |= names
    for version, names in ADDED.items():
        found = found | names if _parse_version(version) <= wanted else found - names
    return frozenset(found)


def _parse_version(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def _select_public(names: Collection[str]) -> Iterator[str]:
    return (name for name in names if not name.startswith("_"))


def _find_installed(modules: Collection[str], names: Mapping[str, str], *, exact: bool) -> set[str]:
    """Those of the modules that a package of these names has, as its files say where it is installed here."""
    if not modules:
        return set()
    import importlib.metadata as metadata

    found = set()
    for name, version in names.items():
        try:
            installed = metadata.distribution(name)
        except (metadata.PackageNotFoundError, ValueError):
            continue
        if exact and version and installed.version != version:
            continue
        tops = {str(path).split("/")[0].split(".")[0] for path in installed.files or () if _is_code(str(path))}
        found |= tops & set(modules)
    return found


def _is_code(path: str) -> bool:
    return path.endswith((".py", ".so", ".pyd")) and not path.startswith("..")


def _extends_path(file: Path) -> bool:
    try:
        return b"sys.path" in file.read_bytes()
    except OSError:
        return False


def _find_nested_folder(module: str, project: Path) -> str:
    """The folder deeper in the project that has a module, for code that extends `sys.path` to find it; "" for none."""
    for pattern in (f"*/{module}.py", f"*/{module}/__init__.py", f"*/*/{module}.py", f"*/*/{module}/__init__.py"):
        for path in sorted(project.glob(pattern)):
            folder = (path if path.stem == module else path.parent).relative_to(project).parent.as_posix()
            if "site-packages" not in folder and not folder.startswith("."):
                return folder
    return ""


def _has_project(project: Path) -> bool:
    try:
        return "[project]" in (project / "pyproject.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
