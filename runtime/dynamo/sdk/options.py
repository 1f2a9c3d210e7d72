"""The keywords of `@service` (and of `ServiceArgs`) as values of a ServiceSpec, with everything wrong about them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dynamo.sdk.graph import ServiceSpec
from dynamo.sdk.suggestions import did_you_mean

#: Accepted for compatibility; they have no meaning for a graph here.
IGNORED = frozenset(
    {"app", "system_app", "should_validate_dynamo_interfaces", "http", "logging", "metrics", "monitoring", "tracing"}
)
KNOWN = frozenset(
    {"dynamo", "resources", "workers", "image", "envs", "labels", "traffic", "kubernetes_overrides", "name"}
)
DYNAMO_KEYS = frozenset({"enabled", "namespace", "name", "component_type", "custom_lease"})
RESOURCE_KEYS = frozenset({"cpu", "memory", "gpu", "custom"})
OVERRIDE_KEYS = frozenset(
    {
        *("entrypoint", "cmd", "container", "pod", "environments"),
        *("Deployment", "LeaderWorkerSet", "Service", "NetworkPolicy"),
        *("HorizontalPodAutoscaler", "ScaledObject", "PodDisruptionBudget"),
    }
)

_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?([munkMGTPE]|[KMGTPE]i|[eE][0-9]{1,3})?", re.ASCII)
_GPU = re.compile(r"[0-9]+|0?\.[0-9]+|0\.[0-9]+", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something wrong with one keyword; `key` is its dotted path."""

    key: str
    message: str
    hint: str = ""


@dataclass(slots=True)
class ServiceOptions:
    """What the keywords say: `values` are fields of ServiceSpec, `resources` fields of Resources, given ones only."""

    values: dict[str, Any] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)
    complaints: list[Complaint] = field(default_factory=list)

    def apply_to(self, spec: ServiceSpec) -> ServiceSpec:
        """The service with these values in place of its own."""
        values = dict(self.values)
        for name in ("envs", "labels"):
            if name in values:
                values[name] = {**getattr(spec, name), **values[name]}
        return replace(spec, **values, resources=replace(spec.resources, **self.resources))

    def add_complaint(self, key: str, message: str, hint: str = "") -> None:
        self.complaints.append(Complaint(key, message, hint))


def parse_keywords(keywords: Mapping[str, Any]) -> ServiceOptions:
    """Read the keywords of `@service`. Nothing is raised: what is wrong is in `complaints`, not in the values."""
    options = ServiceOptions()
    _check_unknown(options, "", keywords, KNOWN, IGNORED)
    _read_dynamo(options, keywords.get("dynamo"))
    _read_resources(options, keywords.get("resources"))
    _read_workers(options, keywords.get("workers"))
    name = keywords.get("name")
    if name is not None:
        _read_name(options, "name", "name", name)
    image = keywords.get("image")
    if isinstance(image, str):
        options.values["image"] = str(image)
    elif image is not None:
        options.add_complaint(
            "image",
            f"`image` is {_describe_kind(image)}, not a reference",
            "Give the image as a string, or DYNAMO_IMAGE.",
        )
    if (envs := keywords.get("envs")) is not None:
        _read_envs(options, envs)
    for key in ("labels", "traffic", "kubernetes_overrides"):
        if (value := _write_mapping(options, key, keywords.get(key))) is not None:
            options.values[key] = {str(k): str(v) for k, v in value.items()} if key == "labels" else dict(value)
    _check_unknown(options, "kubernetes_overrides", options.values.get("kubernetes_overrides", {}), OVERRIDE_KEYS)
    return options


def _check_unknown(
    options: ServiceOptions, under: str, given: Iterable[str], known: frozenset[str], also: frozenset[str] = frozenset()
) -> None:
    for key in given:
        if key not in known and key not in also:
            path = f"{under}.{key}" if under else key
            options.add_complaint(path, f"unknown key `{path}`", did_you_mean(str(key), known))


def _read_dynamo(options: ServiceOptions, given: Any) -> None:
    value = _write_mapping(options, "dynamo", given)
    if value is None:
        return
    _check_unknown(options, "dynamo", value, DYNAMO_KEYS)
    enabled = value.get("enabled")
    if enabled is not None and not isinstance(enabled, bool):
        options.add_complaint(
            "dynamo.enabled", f"`dynamo.enabled` is {enabled!r}, not true or false", "Write True or False."
        )
    elif enabled is not None:
        options.values["dynamo"] = enabled
    for key, target in (("namespace", "namespace"), ("name", "name")):
        if value.get(key) is not None:
            _read_name(options, f"dynamo.{key}", target, value[key])
    if value.get("component_type") is not None:
        options.values["component_type"] = str(value["component_type"])


def _read_name(options: ServiceOptions, key: str, target: str, value: Any) -> None:
    if isinstance(value, str) and _NAME.fullmatch(value):
        options.values[target] = value
    else:
        hint = "Use letters, digits, `-` and `_`, 63 at most."
        options.add_complaint(key, f"`{key}` is {value!r}, which is not a name", hint)


def _read_resources(options: ServiceOptions, given: Any) -> None:
    value = _write_mapping(options, "resources", given)
    if value is None:
        return
    _check_unknown(options, "resources", value, RESOURCE_KEYS)
    for key in ("cpu", "memory"):
        if (quantity := _read_quantity(options, f"resources.{key}", value.get(key))) is not None:
            options.resources[key] = quantity
    gpu = value.get("gpu")
    if gpu is not None:
        text = _format_number(gpu)
        if text is None or not _GPU.fullmatch(text):
            hint = "Give a whole number of devices, or a fraction of one below 1."
            options.add_complaint("resources.gpu", f"`resources.gpu` is {gpu!r}, not a number of devices", hint)
        else:
            options.resources["gpu"] = text
    custom = _write_mapping(options, "resources.custom", value.get("custom"))
    if custom is not None:
        quantities = {
            str(key): _read_quantity(options, f"resources.custom.{key}", item) for key, item in custom.items()
        }
        options.resources["custom"] = {key: item for key, item in quantities.items() if item is not None}


def _format_number(value: Any) -> str | None:
    """int, float and str as text: `2.0` is `2`, so that one request has one form."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _read_quantity(options: ServiceOptions, key: str, value: Any) -> str | None:
    if value is None:
        return None
    text = _format_number(value)
    if text is not None and _QUANTITY.fullmatch(text):
        return text
    hint = "Write a Kubernetes quantity such as `2`, `500m` or `16Gi`."
    options.add_complaint(key, f"`{key}` is {value!r}, not a quantity", hint)
    return None


def _read_workers(options: ServiceOptions, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        options.values["workers"] = value
    else:
        options.add_complaint(
            "workers", f"`workers` is {value!r}, not a whole number from 1", "Write for instance workers=2."
        )


def _read_envs(options: ServiceOptions, given: Any) -> None:
    pairs: list[tuple[Any, Any]] = []
    if isinstance(given, Mapping):
        pairs = list(given.items())
    elif isinstance(given, (list, tuple)) and all(isinstance(item, Mapping) and "name" in item for item in given):
        pairs = [(item["name"], item.get("value")) for item in given]
    else:
        options.add_complaint(
            "envs", f"`envs` is {_describe_kind(given)}", 'Write envs=[{"name": "A", "value": "b"}] or {"A": "b"}.'
        )
    result = {}
    for name, value in pairs:
        if isinstance(name, str) and _VARIABLE.fullmatch(name):
            result[name] = _format_variable(value)
        else:
            options.add_complaint("envs", f"`envs` names a variable {name!r}", "Use letters, digits and `_`.")
    options.values["envs"] = result


def _format_variable(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _write_mapping(options: ServiceOptions, key: str, value: Any) -> Mapping[str, Any] | None:
    if value is None:
        return None
    if isinstance(value, Mapping):
        return value
    options.add_complaint(
        key, f"`{key}` is {_describe_kind(value)}, not a dictionary", f'Write {key.rpartition(".")[2]}={{"key": …}}.'
    )
    return None


def _describe_kind(value: Any) -> str:
    name = type(value).__name__
    return f"an {name}" if name[:1] in "aeio" else f"a {name}"


class GraphBase(str):
    """The base image of the graph, whatever the build says it is. As a string it is empty."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "DYNAMO_IMAGE"


#: For `@service(image=…)`: the graph's base. The environment is not read: a graph must not depend on who describes it.
DYNAMO_IMAGE = GraphBase()
