"""Resolution of a target to a service: `module:Service`, `path/file.py:Service`, `module`, or nothing."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from dynamo.sdk.decorators import Service, as_service
from dynamo.sdk.describe.failures import project_modules
from dynamo.sdk.errors import Unresolved
from dynamo.sdk.graph import Problem, is_own
from dynamo.sdk.suggestions import did_you_mean


def resolve_target(target: str, project: str) -> tuple[str, Service[Any]]:
    """The target as the worker imports it, and its service. Raises Unresolved, and whatever the import raises."""
    where, colon, attribute = target.partition(":")
    name = _module_name(where, project) if where else _only_module(project)
    module = _import_module(name, project)
    services = {key: value for key, value in vars(module).items() if isinstance(value, Service)}
    if not colon:
        attribute = _only_root(name, services)
    found = _follow_path(name, module, attribute, services)
    return f"{name}:{attribute}", found


def _module_name(where: str, project: str) -> str:
    if not where.endswith(".py") and "/" not in where:
        return where
    path = Path(os.path.normpath(Path(project, where))).with_suffix("")
    if not path.is_relative_to(project):
        raise Unresolved(
            Problem(message=f"`{where}` is outside the project", hint="Name a file below the project folder.")
        )
    parts = path.relative_to(project).parts
    if not all(part.isidentifier() for part in parts):
        hint = "Rename the file so that Python can import it, or name its module."
        raise Unresolved(Problem(message=f"`{where}` cannot be imported by that name", hint=hint))
    if not path.with_suffix(".py").is_file():
        siblings = project_modules(str(path.parent))
        hint = did_you_mean(parts[-1], siblings, "Name a Python file of the project.")
        raise Unresolved(Problem(message=f"no file `{where}`", hint=hint))
    return ".".join(parts)


def _only_module(project: str) -> str:
    """The one top-level module that defines services, by a look at the text."""
    found = []
    for name in project_modules(project):
        try:
            text = Path(project, f"{name}.py").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if "@service" in text and "dynamo" in text:
            found.append(name)
    if len(found) == 1:
        return found[0]
    seen = f"modules with services: {', '.join(found)}" if found else "no module with a service"
    raise Unresolved(
        Problem(message=f"no target was named, and the project has {seen}", hint="Name it: `module:Service`.")
    )


def _import_module(name: str, project: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise Unresolved(
            Problem(message=f"`{name}` is not a module's name", hint="Name the target as `module:Service`.")
        )
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise
        deeper = [path.parent for end in (".py", "/__init__.py") for path in Path(project).glob(f"*/{error.name}{end}")]
        folders = sorted({path.relative_to(project).parts[0] for path in deeper} - {"site-packages"})
        otherwise = "Run the command in the project's folder, or name the folder."
        otherwise = f"`{folders[0]}` has one: run the command there." if folders else otherwise
        hint = did_you_mean(error.name, project_modules(project), otherwise)
        raise Unresolved(Problem(message=f"no module `{error.name}` in the project", hint=hint)) from error
    file = getattr(module, "__file__", None)
    if file is None and hasattr(module, "__path__"):
        hint = f"Name a module in it, such as `{name}.module:Service`."
        raise Unresolved(Problem(message=f"`{name}` is a folder without code of its own", hint=hint))
    if not is_own(file or "", project):
        hidden = Path(project, *name.split(".")).with_suffix(".py").is_file()
        message = f"`{name}` is hidden by another module of that name" if hidden else f"`{name}` is not in the project"
        hint = (
            "Rename the project's module." if hidden else "Name a module below the project folder: only that is packed."
        )
        raise Unresolved(Problem(message=message, hint=hint))
    return sys.modules.get(name, module)


def _only_root(name: str, services: dict[str, Service[Any]]) -> str:
    called = {
        id(callee)
        for each in services.values()
        for dependency in each.dependencies.values()
        if (callee := as_service(dependency.on))
    }
    called |= {id(callee) for each in services.values() for callee, _ in each.links}
    roots = sorted(
        {service.inner.__name__: key for key, service in services.items() if id(service) not in called}.values()
    )
    if len(roots) == 1:
        return roots[0]
    if not services:
        raise Unresolved(Problem(message=f"`{name}` has no service", hint="Decorate a class with @service."))
    seen = (
        f"several services that no other calls: {', '.join(roots)}"
        if roots
        else "no service that is not called by another"
    )
    raise Unresolved(
        Problem(message=f"`{name}` has {seen}", hint=f"Name one: `{name}:{(roots or sorted(services))[0]}`.")
    )


def _follow_path(name: str, module: ModuleType, attribute: str, services: dict[str, Service[Any]]) -> Service[Any]:
    first, *rest = attribute.split(".")
    if not hasattr(module, first):
        raise Unresolved(Problem(message=f"no `{first}` in `{name}`", hint=did_you_mean(first, services)))
    found = as_service(getattr(module, first))
    if found is None:
        kind = "a class without @service" if isinstance(getattr(module, first), type) else "not a service"
        hint = did_you_mean(first, services) if services else "Decorate the class with @service."
        raise Unresolved(Problem(message=f"`{name}:{first}` is {kind}", hint=hint))
    for step in rest:
        dependency = found.dependencies.get(step)
        following = as_service(dependency.on) if dependency else None
        if following is None:
            there = ", ".join(f"`{each}`" for each in found.dependencies) or "nothing"
            hint = did_you_mean(step, found.dependencies, f"`{found.name}` depends on {there}.")
            raise Unresolved(Problem(message=f"`{found.name}` has no dependency `{step}`", hint=hint))
        found = following
    return found
