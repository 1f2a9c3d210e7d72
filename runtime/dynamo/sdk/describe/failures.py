"""Failures while the author's code is imported, as problems with the author's own line."""

from __future__ import annotations

import os
import pkgutil
import re
import sys

from dynamo.sdk.describe.stand_in import StandInUsed
from dynamo.sdk.graph import Position, Problem, make_relative, own_line
from dynamo.sdk.suggestions import find_closest

_CANNOT_IMPORT = re.compile(r"cannot import name '([^']+)' from (?:partially initialized module )?'([^']+)'")


class TimeUp(BaseException):
    """The import took too long. Not an Exception, so that the author's own handlers let it pass."""


def is_authors(error: BaseException, project: str) -> bool:
    """Whether an exception comes from the author's code, rather than being a defect of this package."""
    told = (ImportError, SyntaxError, SystemExit, StandInUsed, TimeUp)
    return isinstance(error, told) or bool(own_line(error.__traceback__, project).file)


def problem_of(error: BaseException, project: str) -> Problem:
    """The problem that an exception raised during import stands for."""
    where = own_line(error.__traceback__, project)
    if isinstance(error, SyntaxError):
        return _describe_syntax(error, where, project)
    if isinstance(error, StandInUsed):
        return describe_refusal(str(error), "", 0, project, where)
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _describe_missing_module(error.name, where, project)
    if isinstance(error, ImportError):
        return _describe_missing_name(error, where)
    if isinstance(error, SystemExit):
        hint = 'Put it below `if __name__ == "__main__":`.'
        return Problem(
            where=where, message=f"the code ends the interpreter (`sys.exit`, status {error.code})", hint=hint
        )
    if isinstance(error, TimeUp):
        hint = "Move what waits or loops at import into `__init__` or an `@async_on_start` method."
        return Problem(where=where, message=f"the import is not done after {error}", hint=hint)
    if isinstance(error, RecursionError):
        return Problem(
            where=where, message="the import recurses without end", hint="Look for a function that calls itself."
        )
    text = " ".join(str(error).split())[:300]
    name = type(error).__name__
    return Problem(
        where=where,
        message=f"the import raised {name}: {text}" if text else f"the import raised {name}",
        hint="Make the module importable without the resources of a running service.",
    )


def describe_refusal(message: str, file: str, line: int, project: str, where: Position | None = None) -> Problem:
    """The problem of code that asked a stand-in for a value."""
    where = where or make_relative(Position(file=file, line=line), project)
    return Problem(
        where=where, message=f"the code {message}", hint="Do it in a method, where the real module is there."
    )


def _describe_syntax(error: SyntaxError, where: Position, project: str) -> Problem:
    if error.filename:
        where = make_relative(Position(file=error.filename, line=error.lineno or 0), project)
    return Problem(
        where=where, message=f"syntax error: {error.msg}", hint=f"Correct it: `{(error.text or '').strip()[:80]}`."
    )


def _describe_missing_module(name: str, where: Position, project: str) -> Problem:
    top, _, rest = name.partition(".")
    parent = sys.modules.get(name.rpartition(".")[0])
    if rest and parent is not None:
        known = [module.name for module in pkgutil.iter_modules(getattr(parent, "__path__", []))]
        best = find_closest(name.rpartition(".")[2], known)
        hint = f"Did you mean `{parent.__name__}.{best}`?" if best else f"`{parent.__name__}` has no such module."
        return Problem(where=where, message=f"no module `{name}`", hint=hint)
    best = find_closest(top, (known for known in _list_importable(project) if not known.startswith("_")), cutoff=0.75)
    hint = "Correct the name, or add its package to the project's requirements."
    if best == top:
        hint = "It is installed here alone: add its package to the project's requirements."
    elif best:
        hint = f"Did you mean `{best}`?"
    return Problem(where=where, message=f"no module `{name}`", hint=hint)


def _list_importable(project: str) -> list[str]:
    found = [module.name for module in pkgutil.iter_modules([project, *sys.path])]
    return [*found, *project_modules(project), *sys.stdlib_module_names, *sys.builtin_module_names]


def project_modules(project: str) -> list[str]:
    """The top-level modules and folders of a project, by name."""
    try:
        entries = sorted(os.listdir(project))
    except OSError:
        return []
    names = [name.removesuffix(".py") for name in entries if not name.startswith(".")]
    return [name for name in names if name.isidentifier()]


def _describe_missing_name(error: ImportError, where: Position) -> Problem:
    matched = _CANNOT_IMPORT.search(error.msg or "")
    if matched is None:
        return Problem(where=where, message=f"the import failed: {error.msg}", hint="Correct the import.")
    name, module = matched.groups()
    if "partially initialized" in (error.msg or ""):
        return Problem(
            where=where,
            message=f"`{module}` and the module that is imported from it import each other (`{name}` is not there yet)",
            hint=f"Break the circle: `import {module}` and `depends({module.rpartition('.')[2]})`, or move `{name}`.",
        )
    best = find_closest(name, [known for known in vars(sys.modules.get(module, sys)) if not known.startswith("_")])
    hint = f"Did you mean `{best}`?" if best else f"`{module}` has no such name."
    return Problem(where=where, message=f"no `{name}` in `{module}`", hint=hint)
