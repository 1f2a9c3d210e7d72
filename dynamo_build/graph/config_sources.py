"""Every value that the services of a graph will see, and where it was set."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynamo.sdk import codec
from dynamo.sdk.config import COMMON, OVERRIDES, SUBSCRIPTION, configured, merge
from dynamo.sdk.graph import ServiceGraph, ServiceSpec

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


def shown(graph: ServiceGraph, layers: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[ConfigValue, ...]:
    """The values under `layers`, which are named configurations, the lowest first."""
    marked: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    for source, layer in layers:
        marked = merge(marked, _marked(dict(layer), source))
        plain = merge(plain, dict(layer))
    after = {service.name: service for service in configured(graph, plain).services}
    found: list[ConfigValue] = []
    for service in graph.services:
        found += _of_service(service, after[service.name], marked)
    if isinstance(common := marked.get(COMMON), dict):
        found += [_value(COMMON, key, item) for key, item in _leaves(common, "")]
    return tuple(found)


def table(values: Sequence[ConfigValue]) -> str:
    """The values for people: name, value, source."""
    lines = [(f"{item.service}.{item.key}", json.dumps(item.value, ensure_ascii=False)) for item in values]
    first = max((len(name) for name, _ in lines), default=0)
    second = min(40, max((len(value) for _, value in lines), default=0))
    texts = (f"{name:<{first}}  {value:<{second}}" for name, value in lines)
    return "\n".join(f"{text}  {item.source}" for text, item in zip(texts, values, strict=True))


def _of_service(before: ServiceSpec, after: ServiceSpec, marked: Mapping[str, Any]) -> Iterator[ConfigValue]:
    given = marked.get(before.name)
    own = dict(given) if isinstance(given, dict) else {}
    overrides = own.pop(OVERRIDES, None)
    subscribed = own.get(SUBSCRIPTION)
    names = subscribed.value if isinstance(subscribed, _Set) and isinstance(subscribed.value, list) else []
    common = marked.get(COMMON)
    shared = {name: common[name] for name in names if name in common} if isinstance(common, dict) else {}
    defaults = {item.name: _Set(item.default, "constructor default") for item in before.parameters if not item.required}
    for key, item in _leaves({**defaults, **shared, **own}, ""):
        yield _value(before.name, key, item)
    changed = dict(_leaves(overrides, "")) if isinstance(overrides, dict) else {}
    for key, setting in _leaves(_marked(_arguments(after), "decorator"), ""):
        source = changed.get(key) or changed.get(key.partition(".")[0]) or setting
        yield _value(before.name, f"{OVERRIDES}.{key}", _Set(setting.value, source.source))


def _arguments(service: ServiceSpec) -> dict[str, Any]:
    """What a decorator says, under the names that it and `ServiceArgs` have for it."""
    resources = {name: value for name, value in codec.plain(service.resources).items() if value != {}}
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


def _marked(value: Any, source: str) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _marked(item, source) for key, item in value.items()}
    return _Set(value, source)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, _Set]]:
    if isinstance(value, _Set):
        yield path, value
    elif isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))


def _value(service: str, key: str, item: _Set) -> ConfigValue:
    return ConfigValue(service=service, key=key, value=item.value, source=item.source)
