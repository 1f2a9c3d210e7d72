"""Translation of a bentofile to settings; options without a counterpart are reported, never ignored.

Source: BentoML 1.4, "Build options" (`bentofile.yaml`, or `[tool.bentoml.build]` in pyproject.toml).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dynamo.sdk.suggestions import did_you_mean
from dynamo_build.errors import UsageError

NAME = "bentofile.yaml"
_READ = {
    "name": "build.name",
    "labels": "build.labels",
    "include": "build.include",
    "exclude": "build.exclude",
    "python.packages": "build.requirements",
    "docker.python_version": "build.python",
    "docker.base_image": "image.base",
    "docker.system_packages": "image.system_packages",
}
_INDEX = "uv takes its indexes from UV_DEFAULT_INDEX, UV_INDEX or `[tool.uv]`"
_NAMED = {
    "service": "the service is named on the command line",
    "description": "a bento has no description; README.md is packed",
    "models": "weights are fetched when a worker starts",
    "envs": "`@service(envs=…)` sets them",
    "args": "`--Service.key=value` and `-f` set the configuration",
    "python.lock_packages": "packages are always locked",
    "python.pack_git_packages": "packages from git are always packed, as wheels of their commits",
    **{
        f"python.{key}": _INDEX
        for key in ("index_url", "no_index", "trusted_host", "find_links", "extra_index_url", "pip_args")
    },
    "python.is_src_layout": "name the module as `src/...py:Service`",
    "docker.distro": "the base image decides it",
    "docker.cuda_version": "the base image decides it",
    "docker.env": "`@service(envs=…)` sets them",
    "docker.setup_script": "`setup_commands` of `[tool.dynamo.image]` are run",
    "docker.dockerfile_template": "blocks of ours are extended: `dockerfile_template` of `[tool.dynamo.image]`",
    "conda": "packages come from PyPI's kind of index",
}
_HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "python.lock_packages": (True,),
    "python.pack_git_packages": (True, False),
    "docker.distro": ("debian",),
}
_REQUIREMENTS = "build.requirements"
#: Options that are lines of requirements, and how they are written there.
_ADDED: Mapping[str, Callable[[str], str]] = {
    "python.requirements_txt": lambda path: f"-r {path}",
    "python.wheels": lambda path: path if path.startswith(("./", "../", "/")) else f"./{path}",
}
_READ_ANYWAY = ("requirements.txt", "./requirements.txt")
_SECTIONS = frozenset({"python", "docker"})


def translated(document: Any, where: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Our settings by name, and one line for each option that is not taken over. Raises UsageError."""
    if not isinstance(document, Mapping):
        raise UsageError(f"{where} is not a mapping of build options")
    found: dict[str, Any] = {}
    notes = []
    for name, value in _options(document, where):
        more = found.get(_REQUIREMENTS, []) if _READ.get(name) == _REQUIREMENTS else []
        if name in _READ:
            found[_READ[name]] = [*more, *value] if more and isinstance(value, list) else value
        elif name in _ADDED:
            wanted = value if isinstance(value, list) else [value]
            if not all(isinstance(item, str) for item in wanted):
                raise UsageError(f"`{name}` of {where} is {value!r}", ["It needs paths."])
            before = found.get(_REQUIREMENTS, [])
            found[_REQUIREMENTS] = [*before, *(_ADDED[name](item) for item in wanted if item not in _READ_ANYWAY)]
        elif name not in _NAMED:
            known = [*_READ, *_ADDED, *_NAMED]
            hint = did_you_mean(name, known, f"There are {', '.join(sorted(known))}.")
            raise UsageError(f"{where} has an unknown option `{name}`", [hint])
        elif value not in (None, "", [], {}) and value not in _HARMLESS.get(name, ()):
            notes.append(f"`{name}` of {where} has no effect: {_NAMED[name]}")
    return found, tuple(notes)


def _options(document: Mapping[Any, Any], where: str) -> list[tuple[str, Any]]:
    options: list[tuple[str, Any]] = []
    for key, value in document.items():
        if key not in _SECTIONS:
            options.append((str(key), value))
        elif isinstance(value, Mapping):
            options += [(f"{key}.{inner}", item) for inner, item in value.items()]
        elif value is not None:
            raise UsageError(f"`{key}` of {where} is not a mapping of options")
    return [(name, value) for name, value in options if value is not None]
