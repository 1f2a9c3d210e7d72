"""The configuration of a graph: `--Service.key=value` over the file, checked, secrets only by reference."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynamo.sdk import codec
from dynamo.sdk.config import (
    COMMON,
    OVERRIDES,
    SUBSCRIPTION,
    ArgumentError,
    apply_config,
    merge_values,
    parse_arguments,
    validate_config,
)
from dynamo.sdk.graph import Position, Problem, ServiceGraph, ServiceSpec
from dynamo.sdk.references import REFERENCE
from dynamo_build.errors import GraphError, StoreError, UsageError, count_problems
from dynamo_build.system.yaml import read_yaml

_BEGUN = re.compile(r"\$\{(?:env|secret):[^}]*\}?")
_SECRET_KEY = re.compile(
    r"(?i)(?:^|[_.-])(?:password|passwd|secret|secret_?key|api_?key|access_?key|private_?key|credentials?|(?:auth|access|api|hf|bearer|refresh)_?token|token)$"
)
_HINT = "Write `${env:NAME}` or `${secret:name/key}`: the worker resolves it when it starts."


def read_config(path: Path) -> Mapping[str, Any]:
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


def parse_config(name: str, text: str) -> Mapping[str, Any]:
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


def resolve_config(graph: ServiceGraph, file: Mapping[str, Any], arguments: Sequence[str]) -> Mapping[str, Any]:
    """The resolved configuration: {service: keys}, `Common` among them when there is one; keys stay in their order.

    Raises GraphError with every problem, UsageError for an argument of another form.
    """
    try:
        given = parse_arguments(arguments)
    except ArgumentError as error:
        raise UsageError(str(error), ["See `dynamo serve --help`."]) from error
    config: Mapping[str, Any] = merge_values(dict(file), given)
    problems = [
        *validate_config(graph, config),
        *_find_literal_secrets(graph, config),
        *_find_malformed_references(graph, config),
    ]
    if problems:
        raise GraphError(f"the configuration does not match the graph: {count_problems(problems)}", problems=problems)
    return {name: config[name] for name in sorted(config)}


def _find_literal_secrets(graph: ServiceGraph, config: Mapping[str, Any]) -> Iterator[Problem]:
    for path, value in _walk_leaves(config, ()):
        if _is_literal_secret(path[-1], value):
            where = next((service.position for service in graph.services if service.name == path[0]), Position())
            name = ".".join(path)
            yield Problem(where=where, message=f"`{name}` is named like a secret and holds a literal", hint=_HINT)
    for service in graph.services:
        for name, value in service.envs.items():
            if _is_literal_secret(name, value):
                message = (
                    f"the environment variable `{name}` of `{service.name}` is named like a secret and holds a literal"
                )
                yield Problem(where=service.position, message=message, hint=_HINT)


def _find_malformed_references(graph: ServiceGraph, config: Mapping[str, Any]) -> Iterator[Problem]:
    texts = [(".".join(path), Position(), value) for path, value in _walk_leaves(config, ())]
    texts += [
        (f"{each.name}: {name}", each.position, text) for each in graph.services for name, text in each.envs.items()
    ]
    for name, where, value in texts:
        for found in _BEGUN.findall(value) if isinstance(value, str) else ():
            if not REFERENCE.fullmatch(found):
                hint = "Write `${env:NAME}` or `${secret:name/key}`, the secret's name in lower case."
                yield Problem(where=where, message=f"invalid reference `{found}` in `{name}`", hint=hint)


def _is_literal_secret(key: str, value: Any) -> bool:
    return isinstance(value, str) and bool(value) and bool(_SECRET_KEY.search(key)) and not REFERENCE.search(value)


def _walk_leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk_leaves(item, (*path, str(key)))
    elif isinstance(value, list):
        for item in value:
            yield from _walk_leaves(item, path)
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


ARGUMENT = "argument"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigValue:
    """One value. `source` is `constructor default`, `decorator`, a file's path or `argument`."""

    service: str
    key: str
    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class _Set:
    value: Any
    source: str


def trace_values(graph: ServiceGraph, layers: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[ConfigValue, ...]:
    """The values under `layers`, which are named configurations, the lowest first."""
    marked: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    for source, layer in layers:
        marked = merge_values(marked, _mark_source(dict(layer), source))
        plain = merge_values(plain, dict(layer))
    after = {service.name: service for service in apply_config(graph, plain).services}
    found: list[ConfigValue] = []
    for service in graph.services:
        found += _trace_service(service, after[service.name], marked)
    if isinstance(common := marked.get(COMMON), dict):
        found += [_build_value(COMMON, key, item) for key, item in _walk_sourced_leaves(common, "")]
    return tuple(found)


def format_config_values(values: Sequence[ConfigValue]) -> str:
    """The values for people: name, value, source."""
    lines = [(f"{item.service}.{item.key}", json.dumps(item.value, ensure_ascii=False)) for item in values]
    first = max((len(name) for name, _ in lines), default=0)
    second = min(40, max((len(value) for _, value in lines), default=0))
    texts = (f"{name:<{first}}  {value:<{second}}" for name, value in lines)
    return "\n".join(f"{text}  {item.source}" for text, item in zip(texts, values, strict=True))


def _trace_service(before: ServiceSpec, after: ServiceSpec, marked: Mapping[str, Any]) -> Iterator[ConfigValue]:
    given = marked.get(before.name)
    own = dict(given) if isinstance(given, dict) else {}
    overrides = own.pop(OVERRIDES, None)
    subscribed = own.get(SUBSCRIPTION)
    names = subscribed.value if isinstance(subscribed, _Set) and isinstance(subscribed.value, list) else []
    common = marked.get(COMMON)
    shared = {name: common[name] for name in names if name in common} if isinstance(common, dict) else {}
    defaults = {item.name: _Set(item.default, "constructor default") for item in before.parameters if not item.required}
    for key, item in _walk_sourced_leaves({**defaults, **shared, **own}, ""):
        yield _build_value(before.name, key, item)
    changed = dict(_walk_sourced_leaves(overrides, "")) if isinstance(overrides, dict) else {}
    for key, setting in _walk_sourced_leaves(_mark_source(_collect_arguments(after), "decorator"), ""):
        source = changed.get(key) or changed.get(key.partition(".")[0]) or setting
        yield _build_value(before.name, f"{OVERRIDES}.{key}", _Set(setting.value, source.source))


def _collect_arguments(service: ServiceSpec) -> dict[str, Any]:
    """What a decorator says, under the names that it and `ServiceArgs` have for it."""
    resources = {name: value for name, value in codec.to_plain(service.resources).items() if value != {}}
    resources |= resources.pop("custom", {})
    found = {
        "dynamo": {"enabled": service.dynamo, "namespace": service.namespace},
        "workers": service.workers,
        "resources": resources,
        "image": service.image,
        "envs": dict(service.envs),
        "labels": dict(service.labels),
        "traffic": dict(service.traffic),
    }
    return {name: value for name, value in found.items() if value not in ("", {})}


def _mark_source(value: Any, source: str) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _mark_source(item, source) for key, item in value.items()}
    return _Set(value, source)


def _walk_sourced_leaves(value: Any, path: str) -> Iterator[tuple[str, _Set]]:
    if isinstance(value, _Set):
        yield path, value
    elif isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _walk_sourced_leaves(item, f"{path}.{key}" if path else str(key))


def _build_value(service: str, key: str, item: _Set) -> ConfigValue:
    return ConfigValue(service=service, key=key, value=item.value, source=item.source)
