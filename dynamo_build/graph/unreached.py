"""Imports of unreachable modules: packed code that the graph does not import, but that may be imported by name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from dynamo.sdk.graph import Position, Problem
from dynamo_build.graph.available import provided, unavailable
from dynamo_build.graph.discover import Found
from dynamo_build.graph.imports import Import, imports_of
from dynamo_build.model.plan import BuildOptions, Lock, PlannedFile, Requirements
from dynamo_build.system.digest import digest_bytes

_CODE = frozenset({".py", ".so", "pyd"})  # the last three letters: this is asked of every file of a project
#: Folders and files of which one can tell that they are for development, by their names.
_FOLDERS = frozenset(
    {"tests", "test", "testing", "docs", "doc", "examples", "bench", "benchmarks", "scripts", "tools", "notebooks"}
)
_FILES = frozenset({"conftest.py", "setup.py", "noxfile.py", "tasks.py", "fabfile.py"})
_SHOWN = 3


def stray(
    found: Found,
    wanted: Requirements,
    files: Sequence[PlannedFile],
    project: Path,
    options: BuildOptions,
    recorded: Callable[[Lock], frozenset[str]] | None = None,
    ruled: str = "",
) -> tuple[Problem, ...]:
    """A warning for each module that nothing provides, and that packed code imports outside the graph's own files.

    Only what fails when a file is imported counts: guarded imports and those of functions are left to it. `ruled` is
    the ruling that every file of a known digest passed: under the same one it is not read again.
    """
    own = set(found.reached.files)
    code = _code(files)
    others = [file for file in code if file.path.endswith(".py") and file.path not in own]
    if others and ruled and ruled == ruling(found, code, options):
        others = [file for file in others if not file.digest]
    if not others:
        return ()
    packed = _modules(code)
    known = frozenset((*found.has.standard, *found.has.packages, *packed))
    unknown = [
        each
        for each in imports_of(project, (file.path for file in others), known)
        if each.need == "needed" and each.top not in packed and each.top not in found.has
    ]
    if not unknown:
        return ()
    has = provided(
        wanted,
        found.lock,
        runtime_only=options.runtime_only,
        base=options.base_modules,
        imports=(*found.reached.imports, *unknown),
        recorded=recorded,
    )
    missing: dict[str, list[Import]] = {}
    for each in unknown:
        if each.top not in has:
            missing.setdefault(each.top, []).append(each)
    left_out = {name for name in missing if (project / name).is_dir() or (project / f"{name}.py").is_file()}
    return tuple(
        _not_packed(imports, own)
        if name in left_out
        else _told(unavailable(imports[0], has, project, wanted.python), imports, own)
        for name, imports in missing.items()
    )


def ruling(found: Found, files: Iterable[PlannedFile], options: BuildOptions) -> str:
    """What decides about the imports of a file beside its content: what is packed, reached, locked and provided."""
    lock = found.lock
    locked = sorted({package for packages in lock.packages.values() for package in packages}, key=str) if lock else ()
    deciding = (
        *(sorted(_modules(_code(files))), found.reached.files, locked, sorted(found.has.standard)),
        *(sorted(options.runtime_only), sorted(options.base_modules)),
    )
    return digest_bytes(repr(deciding).encode())


def _code(files: Iterable[PlannedFile]) -> list[PlannedFile]:
    return [file for file in files if file.path[-3:] in _CODE]


def _modules(code: Iterable[PlannedFile]) -> frozenset[str]:
    """The names under which packed code may be imported from the project or from any folder in it."""
    paths = [file.path for file in code]
    stems = {path.rpartition("/")[2].partition(".")[0] for path in paths}
    folders = {folder for folder, _, _ in (path.rpartition("/") for path in paths)}
    return frozenset(stems.union(*(folder.split("/") for folder in folders)))


def _told(problem: Problem, imports: Sequence[Import], own: Collection[str]) -> Problem:
    patterns = list(dict.fromkeys(_pattern(each.where.file, own) for each in imports))
    lines = ", ".join(f"`{pattern}`" for pattern in patterns[:_SHOWN])
    lines += f" and {len(patterns) - _SHOWN} more" if len(patterns) > _SHOWN else ""
    leave = f"add {lines} to .bentoignore"
    files = len({each.where.file for each in imports})
    more = f"is imported here and in {files - 1} more file{'s' * (files > 2)}," if files > 1 else "is imported,"
    message = problem.message.replace("is imported,", more)
    if all(_for_development(each.where.file, own) for each in imports):
        hint = f"The graph does not import it: {leave}. If the image needs it, {_lowered(problem.hint)}"
    else:
        hint = f"{problem.hint} Or, as the graph does not import it, {leave}."
    return replace(problem, message=message, hint=hint)


def _lowered(hint: str) -> str:
    return hint[:1].lower() + hint[1:]


def _not_packed(imports: Sequence[Import], own: Collection[str]) -> Problem:
    name, file = imports[0].top, imports[0].where.file
    hint = f"Take `{name}` out of the ignore files and `exclude`, or add `{_pattern(file, own)}` to .bentoignore."
    return Problem(where=Position(file=file, line=imports[0].where.line), message=f"`{name}` is not packed", hint=hint)


def _pattern(file: str, own: Collection[str]) -> str:
    """The line of .bentoignore that leaves a file out: its folder where that is for development only, else itself."""
    parts = file.split("/")
    for count, part in enumerate(parts[:-1], 1):
        folder = "/".join(parts[:count]) + "/"
        if part in _FOLDERS and not any(path.startswith(folder) for path in own):
            return f"/{folder}"
    return f"/{file}"


def _for_development(file: str, own: Collection[str]) -> bool:
    name = file.rpartition("/")[2]
    return name in _FILES or name.startswith("test_") or name.endswith("_test.py") or _pattern(file, own).endswith("/")
