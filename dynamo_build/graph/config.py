"""The configuration of a graph: `--Service.key=value` over the file, checked, secrets only by reference."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dynamo.sdk.config import ArgumentError, merge, parse_arguments, validate
from dynamo.sdk.graph import Position, Problem, ServiceGraph
from dynamo.sdk.references import REFERENCE
from dynamo_build.errors import GraphError, StoreError, UsageError, counted
from dynamo_build.system.yaml import read_yaml

_BEGUN = re.compile(r"\$\{(?:env|secret):[^}]*\}?")
_SECRET_KEY = re.compile(
    r"(?i)(?:^|[_.-])(?:password|passwd|secret|secret_?key|api_?key|access_?key|private_?key|credentials?|(?:auth|access|api|hf|bearer|refresh)_?token|token)$"
)
_HINT = "Write `${env:NAME}` or `${secret:name/key}`: the worker resolves it when it starts."


def read(path: Path) -> Mapping[str, Any]:
    """A YAML file with a section per service; {} for an empty one. Raises UsageError with file and line."""
    try:
        content = path.read_bytes()
    except OSError as error:
        hint = "Paths are relative to the folder that you are in."
        raise UsageError(
            f"the configuration `{path}` cannot be read: {(error.strerror or '').lower()}", [hint]
        ) from error
    try:
        parsed = read_yaml(content, str(path))
    except StoreError as error:
        raise UsageError(error.message, ["Repair the file."]) from error
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        raise UsageError(f"`{path}` is not a mapping of services to their settings")
    _check_json(parsed, str(path), "")
    return parsed


def given(name: str, text: str) -> Mapping[str, Any]:
    """The configuration in an environment variable, as JSON or YAML; {} for an empty one. Raises UsageError."""
    if not text.strip():
        return {}
    try:
        parsed = read_yaml(text.encode(), name)
    except StoreError as error:
        raise UsageError(f"{name} is neither JSON nor YAML: {error.message}", ["Correct it, or unset it."]) from error
    if not isinstance(parsed, dict):
        raise UsageError(f"{name} is not a mapping of services to their settings", ["Correct it, or unset it."])
    _check_json(parsed, name, "")
    return parsed


def configure(graph: ServiceGraph, file: Mapping[str, Any], arguments: Sequence[str]) -> Mapping[str, Any]:
    """The resolved configuration: {service: keys}, `Common` among them when there is one; keys stay in their order.

    Raises GraphError with every problem, UsageError for an argument of another form.
    """
    try:
        given = parse_arguments(arguments)
    except ArgumentError as error:
        raise UsageError(str(error), ["See `dynamo serve --help`."]) from error
    config: Mapping[str, Any] = merge(dict(file), given)
    problems = [*validate(graph, config), *_literal_secrets(graph, config), *_misformed(graph, config)]
    if problems:
        raise GraphError(f"the configuration does not fit the graph: {counted(problems)}", problems=problems)
    return {name: config[name] for name in sorted(config)}


def _literal_secrets(graph: ServiceGraph, config: Mapping[str, Any]) -> Iterator[Problem]:
    for path, value in _leaves(config, ()):
        if _secret(path[-1], value):
            where = next((service.position for service in graph.services if service.name == path[0]), Position())
            name = ".".join(path)
            yield Problem(where=where, message=f"`{name}` holds a literal under a name of a secret", hint=_HINT)
    for service in graph.services:
        for name, value in service.envs.items():
            if _secret(name, value):
                message = f"the environment variable `{name}` of `{service.name}` is a literal under a name of a secret"
                yield Problem(where=service.position, message=message, hint=_HINT)


def _misformed(graph: ServiceGraph, config: Mapping[str, Any]) -> Iterator[Problem]:
    texts = [(".".join(path), Position(), value) for path, value in _leaves(config, ())]
    texts += [
        (f"{each.name}: {name}", each.position, text) for each in graph.services for name, text in each.envs.items()
    ]
    for name, where, value in texts:
        for found in _BEGUN.findall(value) if isinstance(value, str) else ():
            if not REFERENCE.fullmatch(found):
                hint = "Write `${env:NAME}` or `${secret:name/key}`, the secret's name in lower case."
                yield Problem(where=where, message=f"`{found}` of `{name}` is no reference", hint=hint)


def _secret(key: str, value: Any) -> bool:
    return isinstance(value, str) and bool(value) and bool(_SECRET_KEY.search(key)) and not REFERENCE.search(value)


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*path, str(key)))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, path)
    elif path:
        yield path, value


def _check_json(value: Any, where: str, path: str) -> None:
    """YAML knows dates, sets and keys that are no text; JSON, which the worker reads, does not."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise UsageError(
                    f"{where}: the key {key!r} of `{path or 'the top'}` is not a text", ["Put it in quotes."]
                )
            _check_json(item, where, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for item in value:
            _check_json(item, where, path)
    elif (
        not isinstance(value, (str, int, float, bool, type(None)))
        or value != value
        or value in (float("inf"), float("-inf"))
    ):
        raise UsageError(f"{where}: `{path}` is a {type(value).__name__} ({value})", ["Put it in quotes."])
