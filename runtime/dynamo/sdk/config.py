"""The configuration of a graph: `{service: {key: value}}`; `ServiceArgs` overrides a decorator, `Common` is shared."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from dynamo.sdk import options
from dynamo.sdk.arguments import ArgumentError, merge_values, parse_arguments
from dynamo.sdk.errors import BadConfiguration
from dynamo.sdk.graph import Problem, ServiceGraph, ServiceSpec
from dynamo.sdk.suggestions import did_you_mean, find_closest

__all__ = [
    "ArgumentError",
    "ServiceConfig",
    "apply_config",
    "load_config",
    "merge_values",
    "near_misses",
    "parse_arguments",
    "validate_config",
]

COMMON = "Common"
SUBSCRIPTION = "common-configs"
OVERRIDES = "ServiceArgs"

# Flags that vLLM has on unless told otherwise: for these alone, leaving the flag out does not mean false.
_ON_BY_DEFAULT = frozenset({"enable-prefix-caching", "use-tqdm-on-load", "multi-step-stream-outputs"})


class ServiceConfig(dict[str, Any]):
    """The configuration of all services, as the code of a service reads it."""

    _instance: ClassVar[ServiceConfig | None] = None

    @classmethod
    def get_instance(cls) -> ServiceConfig:
        """The configuration of this process. Raises ValueError when the environment holds something else than JSON."""
        if cls._instance is None:
            cls._instance = cls(load_config(os.environ))
        return cls._instance

    @classmethod
    def set_instance(cls, config: Mapping[str, Any] | None) -> None:
        """Replace the configuration of this process; None reads the environment again when next asked."""
        cls._instance = None if config is None else cls(config)

    def require(self, service: str, key: str) -> Any:
        """The value of a key that must be there. Raises ValueError."""
        own = self._select_own(service)
        if key not in own:
            raise ValueError(f"`{service}.{key}` must be specified in the configuration: by -f or --{service}.{key}=…")
        return own[key]

    def get_parsed_config(self, service: str) -> dict[str, Any]:
        """The keys of a service with those of `Common` it subscribes to, without `ServiceArgs` and `common-configs`."""
        return dict(self._iterate_keys(service))

    def as_args(self, service: str, prefix: str = "") -> list[str]:
        """The keys of a service as arguments for the parser of some library: `["--key", "value", …]`.

        Common keys come first. True is a bare flag; false and null leave the key out (false is `--no-key` for the few
        flags that vLLM has on by default); a list gives its items one after another, as `nargs="+"` reads them; a
        dictionary is JSON. With `prefix`, only the keys that start with it, without it.
        """
        arguments: list[str] = []
        for key, value in self._iterate_keys(service):
            if key.startswith(prefix):
                arguments.extend(_as_argument(key[len(prefix) :], value))
        return arguments

    def _select_own(self, service: str) -> Mapping[str, Any]:
        own = self.get(service)
        return own if isinstance(own, Mapping) else {}

    def _iterate_keys(self, service: str) -> Iterator[tuple[str, Any]]:
        own = self._select_own(service)
        common = self._select_own(COMMON)
        subscribed = own.get(SUBSCRIPTION) or []
        for key in [subscribed] if isinstance(subscribed, str) else subscribed:
            if key in common and key not in own:
                yield key, common[key]
        for key, value in own.items():
            if key != OVERRIDES and not key.endswith(SUBSCRIPTION):
                yield key, value


def _as_argument(key: str, value: Any) -> list[str]:
    if value is True:
        return [f"--{key}"]
    if value is False:
        return [f"--no-{key}"] if key.replace("_", "-") in _ON_BY_DEFAULT else []
    if value is None or value == []:
        return []
    if isinstance(value, (list, tuple)):
        return [f"--{key}", *(_format_value(item) for item in value)]
    return [f"--{key}", _format_value(value)]


def _format_value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def load_config(environment: Mapping[str, str]) -> dict[str, Any]:
    """The configuration a process was started with: `$DYNAMO_BENTO/config.json`, under `DYN_DEPLOYMENT_CONFIG`, under
    `DYNAMO_SERVICE_CONFIG`. Raises ValueError naming what is not a JSON object.
    """
    result: dict[str, Any] = {}
    bento = environment.get("DYNAMO_BENTO", "")
    packed = Path(bento, "config.json") if bento else None
    if packed is not None and packed.is_file():
        result = _parse_object(str(packed), packed.read_text(encoding="utf-8"))
    for variable in ("DYN_DEPLOYMENT_CONFIG", "DYNAMO_SERVICE_CONFIG"):
        if environment.get(variable, "").strip():
            result = merge_values(result, _parse_object(variable, environment[variable]))
    return result


def _parse_object(where: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{where} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{where} is not a JSON object")
    return value


def validate_config(graph: ServiceGraph, config: Mapping[str, Any]) -> tuple[Problem, ...]:
    """What is wrong with a configuration: unknown services, unknown or misformed `ServiceArgs`."""
    return tuple(_find_problems(graph, config))


def _find_problems(graph: ServiceGraph, config: Mapping[str, Any]) -> Iterator[Problem]:
    for name, own in config.items():
        if name != COMMON and name not in graph.names:
            hint = did_you_mean(str(name), (*graph.names, COMMON), f"Services are {', '.join(graph.names)}.")
            yield Problem(message=f"the configuration names an unknown service `{name}`", hint=hint)
            continue
        if own is None:
            continue
        if not isinstance(own, Mapping):
            yield Problem(
                message=f"the configuration of `{name}` is {own!r}, not keys and values", hint="Indent its keys."
            )
            continue
        subscribed = own.get(SUBSCRIPTION)
        if subscribed is not None and not (
            isinstance(subscribed, list) and all(isinstance(key, str) for key in subscribed)
        ):
            yield Problem(
                message=f"`{name}.{SUBSCRIPTION}` is not a list of keys", hint=f"Write {SUBSCRIPTION}: [key, …]."
            )
        if name != COMMON:
            yield from _argument_problems(str(name), own.get(OVERRIDES))


def _argument_problems(name: str, given: Any) -> Iterator[Problem]:
    if given is None:
        return
    if not isinstance(given, Mapping):
        yield Problem(message=f"`{name}.{OVERRIDES}` is {given!r}, not keys and values", hint="Indent its keys.")
        return
    for complaint in options.parse_keywords(given).complaints:
        yield Problem(message=f"{complaint.message} in `{name}.{OVERRIDES}`", hint=complaint.hint)
    dynamo = given.get("dynamo")
    if "name" in given or (isinstance(dynamo, Mapping) and "name" in dynamo):
        yield Problem(
            message=f"`{name}.{OVERRIDES}` renames the service", hint="Give the name in the decorator: calls go by it."
        )


def near_misses(graph: ServiceGraph, config: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Keys that look like a misspelt parameter of the service's `__init__`; warnings, since keys are free."""
    found = []
    for service in graph.services:
        given = config.get(service.name)
        own = given if isinstance(given, Mapping) else {}
        names = {parameter.name for parameter in service.parameters}
        for key in own:
            # A dash for an underscore is how keys for a library's parser are written.
            if key in names or key.replace("-", "_") in names or key in (OVERRIDES, SUBSCRIPTION):
                continue
            best = find_closest(key, names - set(own)) if len(key) > 3 else ""
            if best:
                message = f"`{service.name}.{key}` is not a parameter of `{service.name}.__init__`"
                found.append(Problem(where=service.position, message=message, hint=f"Did you mean `{best}`?"))
    return tuple(found)


def apply_config(graph: ServiceGraph, config: Mapping[str, Any]) -> ServiceGraph:
    """The graph with each service's `ServiceArgs` applied. What `validate` complains of is left out."""
    return replace(
        graph, services=tuple(_configure_service(service, config.get(service.name)) for service in graph.services)
    )


def _configure_service(service: ServiceSpec, own: Any) -> ServiceSpec:
    given = own.get(OVERRIDES) if isinstance(own, Mapping) else None
    if not isinstance(given, Mapping):
        return service
    parsed = options.parse_keywords(given)
    parsed.values.pop("name", None)
    return parsed.apply_to(service)


T = TypeVar("T")


def read_setting(values: Mapping[str, Any], name: str, default: T, *, least: float = -math.inf) -> T:
    """A key of a configuration, written with dashes or underscores. Raises as `checked`."""
    return check_value(name, values.get(name, values.get(name.replace("-", "_"), default)), default, least=least)


def check_value(name: str, value: Any, like: T, *, least: float = -math.inf) -> T:
    """The value, of the type of `like`; a whole number is also a float, and a boolean is no number.

    Raises BadConfiguration for one of another type, and for a number below `least`.
    """
    found = float(value) if isinstance(like, float) and type(value) is int else value
    if not isinstance(found, type(like)) or isinstance(found, bool) is not isinstance(like, bool):
        raise BadConfiguration(f"`{name}` cannot be {value!r}")
    if isinstance(found, int | float) and found < least:
        raise BadConfiguration(f"`{name}` cannot be {value!r}; the least is {least:g}")
    return found
