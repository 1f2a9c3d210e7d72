"""Render an image plan as a Dockerfile; its context is the bento's folder.

Source: Dockerfile reference. Every value is quoted here, so that the template only lays out lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dynamo_build.errors import UsageError
from dynamo_build.model import image
from dynamo_build.model.plan import WHEELS
from dynamo_build.system import templating

TEMPLATE = "Dockerfile.j2"

_DEBIAN_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*(?::[a-z0-9]+)?(?:=[A-Za-z0-9.+:~-]+)?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_PATH = re.compile(r"[A-Za-z0-9_@+./-]+")
_SECRET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_USER = re.compile(r"[a-z0-9_.-]+(?::[a-z0-9_.-]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The one variable of Dockerfile.j2. Values are ready to stand in a Dockerfile; paths are relative to the context.

    `secrets` are ids. `requirements`, `wheels` (a folder) and `wheel` are "" where the plan has none; `copies` are
    (source, target), both folders; `environment` and `labels` are (name, quoted value); `health`, `entrypoint` and
    `command` are JSON.
    """

    buildkit: bool
    secrets: tuple[str, ...]
    system_packages: tuple[str, ...]
    setup_commands: tuple[str, ...]
    packages: str
    requirements: str
    wheels: str
    runtime: str
    wheel: str
    wheel_name: str
    copies: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]
    labels: tuple[tuple[str, str], ...]
    working_directory: str
    ports: tuple[int, ...]
    user: str
    health: str
    entrypoint: str
    command: str


def dockerfile(plan: image.ImagePlan, *, buildkit: bool) -> str:
    """The Dockerfile of a plan: with cache and bind mounts for BuildKit, or in the form that any engine takes.

    The base is `ARG BASE_IMAGE`, without a default. Raises UsageError for a value that no Dockerfile can hold, and
    for a template of the project's that is wrong.
    """
    recipe = recipe_of(plan, buildkit=buildkit)
    if plan.template:
        return templating.render_extension(plan.template, TEMPLATE, image=recipe)
    return templating.render(TEMPLATE, image=recipe)


def recipe_of(plan: image.ImagePlan, *, buildkit: bool) -> Recipe:
    """The plan as the template sees it. Raises UsageError."""
    requirements = wheels = wheel = ""
    packages, runtime = image.PACKAGES, image.RUNTIME
    system: list[str] = []
    setup: list[str] = []
    copies: list[tuple[str, str]] = []
    for layer in plan.layers:
        match layer:
            case image.SystemPackages():
                system += [_matching(_DEBIAN_PACKAGE, name, "a Debian package") for name in layer.names]
            case image.SetupCommand():
                setup.append(_command(layer.command))
            case image.PackagesLayer():
                requirements = requirements_path(plan)
                wheels = WHEELS if layer.wheels else ""
            case image.WheelLayer():
                wheel, runtime = context_path(plan, layer.wheel), _path(layer.target)
            case image.FilesLayer():
                copies.append((f"{context_path(plan, layer.folder)}/", f"{_path(layer.target).rstrip('/')}/"))
    return Recipe(
        buildkit=buildkit,
        secrets=tuple(sorted(_matching(_SECRET, secret.id, "the id of a secret") for secret in plan.secrets)),
        system_packages=tuple(sorted(set(system))),
        setup_commands=tuple(setup),
        packages=packages,
        requirements=requirements,
        wheels=wheels,
        runtime=runtime,
        wheel=wheel,
        wheel_name=PurePosixPath(wheel).name,
        copies=tuple(dict.fromkeys(copies)),
        environment=_environment(plan.environment),
        labels=_pairs(plan.labels, _LABEL, "a label"),
        working_directory=_path(plan.working_directory),
        ports=tuple(sorted(plan.ports)),
        user=_matching(_USER, plan.user, "a user"),
        health=_json(image.HEALTH),
        entrypoint=_json(plan.entrypoint),
        command=_json(plan.command) if plan.command else "",
    )


def requirements_path(plan: image.ImagePlan) -> str:
    """Where the context holds the locked requirements of a plan's platform."""
    return f"env/python/requirements-{plan.platform.replace('/', '-')}.txt"


def context_path(plan: image.ImagePlan, path: str) -> str:
    """A file or folder of the bento as the context names it. Raises UsageError for one that lies elsewhere."""
    absolute = Path(plan.bento, path)
    try:
        relative = absolute.relative_to(plan.bento).as_posix()
    except ValueError:
        raise UsageError(f"`{path}` is not in the bento") from None
    if ".." in PurePosixPath(relative).parts:
        raise UsageError(f"`{path}` is not in the bento")
    return _path(relative)


def _environment(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """PATH last and over the base's own, which only the builder of the image knows."""
    own = {name: value for name, value in environment.items() if name != "PATH"}
    return (*_pairs(own, _VARIABLE, "an environment variable"), ("PATH", f'"{image.PACKAGES}/bin:${{PATH}}"'))


def _pairs(values: Mapping[str, str], names: re.Pattern[str], what: str) -> tuple[tuple[str, str], ...]:
    return tuple((_matching(names, name, f"the name of {what}"), _quoted(values[name])) for name in sorted(values))


def _quoted(value: str) -> str:
    if any(character in value for character in "\n\r\0"):
        raise UsageError(f"{value!r} has line breaks, which a value in a Dockerfile cannot contain")
    return '"' + re.sub(r'([\\"$])', r"\\\1", value) + '"'


def _command(command: str) -> str:
    """A setup command as RUN takes it: as written where its text means the same there, else as a JSON array."""
    plain = command.strip()
    if not plain:
        raise UsageError("a setup command is empty")
    if "\n" in plain or plain[0] in "-[#" or plain[-1] in "\\`" or "<<" in plain or not plain.isprintable():
        return _json(["/bin/sh", "-c", command])
    return plain


def _path(path: str) -> str:
    return _matching(_PATH, path, "a path that a Dockerfile can hold as it is")


def _matching(pattern: re.Pattern[str], value: str, what: str) -> str:
    if not pattern.fullmatch(value):
        raise UsageError(f"{value!r} is not {what}")
    return value


def _json(words: tuple[str, ...] | list[str]) -> str:
    return json.dumps(list(words))
