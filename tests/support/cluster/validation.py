"""What an API server refuses, written from a real server's answers and apart from the product's own rules."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

QUANTITY = re.compile(r"^[+-]?(\d+(\.\d*)?|\.\d+)(([KMGTPE]i)|[numkMGTPE]|([eE][+-]?\d+))?$")
LABEL = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")
DNS_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
PORT_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
Cause = tuple[str, str]


def model(document: dict[str, Any]) -> Any:
    from kubernetes import client

    version = document["apiVersion"].rpartition("/")[2]
    return getattr(client, version[:1].upper() + version[1:] + document["kind"], None)


def schema_problems(document: dict[str, Any]) -> Iterator[str]:
    """Unknown fields and wrong types, as server-side apply words them. A missing field is no matter of the schema."""
    from pydantic import ValidationError

    strict = model(document)
    if strict is None:
        return
    try:
        strict.model_validate(document)
    except ValidationError as error:
        for item in error.errors(include_url=False, include_context=False):
            path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in item["loc"])
            if item["type"] == "extra_forbidden":
                yield f"{path}: field not declared in schema"
            elif item["type"] != "missing" and not item["type"].startswith("value_error"):
                yield f"{path}: expected {item['type'].partition('_')[0]}, got {item['input']!r}"


def conversion_problems(document: dict[str, Any]) -> Iterator[str]:
    """Values whose own parser fails: quantities, base64."""
    for key, value in _quantities(document):
        if not isinstance(value, (str, int, float)) or not QUANTITY.match(str(value)):
            yield f"quantities must match the regular expression '{QUANTITY.pattern}': {key}"
    if document["kind"] == "Secret":
        for value in (document.get("data") or {}).values():
            try:
                base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                yield "error decoding from json: illegal base64 data at input byte 0"


def _quantities(value: Any, inside: bool = False) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if inside and not isinstance(item, (dict, list)):
                yield key, item
            elif key == "sizeLimit":
                yield key, item
            else:
                yield from _quantities(item, key in ("requests", "limits"))
    elif isinstance(value, list):
        for item in value:
            yield from _quantities(item)


def pod_template(document: dict[str, Any]) -> tuple[dict[str, Any], str]:
    spec = document.get("spec") or {}
    if document["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"):
        return (spec.get("template") or {}), "spec.template"
    return (document, "") if document["kind"] == "Pod" else ({}, "")


def invalid(document: dict[str, Any]) -> list[Cause]:
    """The causes of a 422, field and message."""
    found: list[Cause] = [*_metadata(document)]
    kind, spec = document["kind"], document.get("spec") or {}
    template, path = pod_template(document)
    if template:
        labels = (template.get("metadata") or {}).get("labels") or {}
        if kind in ("Deployment", "StatefulSet"):
            wanted = (spec.get("selector") or {}).get("matchLabels") or {}
            if not wanted:
                found.append(("spec.selector", "Required value"))
            if not wanted or any(labels.get(key) != value for key, value in wanted.items()):
                found.append((f"{path}.metadata.labels", "Invalid value: `selector` does not match template `labels`"))
        found += _pod(template.get("spec") or {}, f"{path}.spec".lstrip("."), spec)
    rolling = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    if kind == "Deployment" and rolling.get("maxSurge") == 0 and rolling.get("maxUnavailable") == 0:
        found.append(
            ("spec.strategy.rollingUpdate.maxUnavailable", "Invalid value: 0: may not be 0 when `maxSurge` is 0")
        )
    if kind == "PodDisruptionBudget" and {"minAvailable", "maxUnavailable"} <= spec.keys():
        found.append(("spec", "Invalid value: minAvailable and maxUnavailable cannot be both set"))
    if kind == "PersistentVolumeClaim" and "storage" not in ((spec.get("resources") or {}).get("requests") or {}):
        found.append(("spec.resources[storage]", "Required value"))
    if kind == "HorizontalPodAutoscaler" and spec.get("minReplicas", 1) > spec.get("maxReplicas", 0):
        found.append(("spec.maxReplicas", "Invalid value: must be greater than or equal to `minReplicas`"))
    if kind == "NetworkPolicy":
        found += _network_policy(spec)
    return found


def _metadata(document: dict[str, Any]) -> Iterator[Cause]:
    name, kind = document["metadata"].get("name", ""), document["kind"]
    short = kind in ("Service", "Namespace")
    if len(name) > (63 if short else 253):
        yield "metadata.name", f'Invalid value: "{name}": must be no more than {63 if short else 253} characters'
    elif not (DNS_LABEL if short else SUBDOMAIN).match(name):
        yield (
            "metadata.name",
            f'Invalid value: "{name}": a lowercase RFC 1123 label must consist of lower case characters',
        )
    for value in (document["metadata"].get("labels") or {}).values():
        if len(str(value)) > 63 or not LABEL.match(str(value)):
            yield "metadata.labels", f'Invalid value: "{value}": a valid label must be an empty string or consist of …'


def _pod(pod: dict[str, Any], path: str, spec: dict[str, Any]) -> Iterator[Cause]:
    volumes = {item.get("name") for item in pod.get("volumes") or ()}
    volumes |= {item["metadata"]["name"] for item in spec.get("volumeClaimTemplates") or ()}
    for index, item in enumerate(pod.get("tolerations") or ()):
        if item.get("effect") not in (None, "NoSchedule", "PreferNoSchedule", "NoExecute"):
            yield f"{path}.tolerations[{index}].effect", f'Unsupported value: "{item["effect"]}"'
    for index, item in enumerate(pod.get("topologySpreadConstraints") or ()):
        if item.get("whenUnsatisfiable") not in ("DoNotSchedule", "ScheduleAnyway"):
            yield f"{path}.topologySpreadConstraints[{index}].whenUnsatisfiable", "Unsupported value"
    names: set[str] = set()
    for index, item in enumerate(pod.get("containers") or ()):
        where = f"{path}.containers[{index}]"
        if item.get("name") in names:
            yield f"{where}.name", f'Duplicate value: "{item["name"]}"'
        names.add(item.get("name", ""))
        if not item.get("image"):
            yield f"{where}.image", "Required value"
        if item.get("imagePullPolicy") not in (None, "Always", "IfNotPresent", "Never"):
            yield f"{where}.imagePullPolicy", f'Unsupported value: "{item["imagePullPolicy"]}"'
        for number, port in enumerate(item.get("ports") or ()):
            if len(port.get("name", "")) > 15 or not PORT_NAME.match(port.get("name", "x")):
                yield (
                    f"{where}.ports[{number}].name",
                    f'Invalid value: "{port["name"]}": must be no more than 15 characters',
                )
        for number, variable in enumerate(item.get("env") or ()):
            if variable.get("value") and variable.get("valueFrom"):
                yield (
                    f"{where}.env[{number}].valueFrom",
                    "Invalid value: may not be specified when `value` is not empty",
                )
        for number, mount in enumerate(item.get("volumeMounts") or ()):
            if mount.get("name") not in volumes:
                yield f"{where}.volumeMounts[{number}].name", f'Not found: "{mount.get("name")}"'
        for field in ("startupProbe", "livenessProbe", "readinessProbe"):
            handlers = [name for name in ("exec", "httpGet", "tcpSocket", "grpc") if name in (item.get(field) or {})]
            if len(handlers) > 1:
                yield f"{where}.{field}.{handlers[1]}", "Forbidden: may not specify more than 1 handler type"
        requests = (item.get("resources") or {}).get("requests") or {}
        limits = (item.get("resources") or {}).get("limits") or {}
        for name, value in requests.items():
            if name == "memory" and name in limits and _bytes(value) > _bytes(limits[name]):
                yield (
                    f"{where}.resources.requests",
                    f'Invalid value: "{value}": must be less than or equal to memory limit',
                )
            if "/" in name and value != limits.get(name):
                yield f"{where}.resources.requests", f'Invalid value: "{value}": must be equal to {name} limit'


def _network_policy(spec: dict[str, Any]) -> Iterator[Cause]:
    for direction in ("ingress", "egress"):
        for index, rule in enumerate(spec.get(direction) or ()):
            for number, port in enumerate(rule.get("ports") or ()):
                if isinstance(port.get("port"), int) and not 1 <= port["port"] <= 65535:
                    yield (
                        f"spec.{direction}[{index}].ports[{number}].port",
                        "Invalid value: must be between 1 and 65535",
                    )


def pod_security(document: dict[str, Any]) -> list[str]:
    """What violates `restricted`, as the Warning header lists it."""
    template, _ = pod_template(document)
    pod = template.get("spec") or {}
    found = []
    for item in pod.get("containers") or ():
        security = item.get("securityContext") or {}
        if security.get("privileged"):
            found.append(f'privileged (container "{item["name"]}" must not set securityContext.privileged=true)')
        if security.get("allowPrivilegeEscalation") is not False:
            found.append(f'allowPrivilegeEscalation != false (container "{item["name"]}")')
        if "ALL" not in ((security.get("capabilities") or {}).get("drop") or ()):
            found.append(f'unrestricted capabilities (container "{item["name"]}")')
        if not (security.get("runAsNonRoot") or (pod.get("securityContext") or {}).get("runAsNonRoot")):
            found.append(f'runAsNonRoot != true (container "{item["name"]}")')
        profile = security.get("seccompProfile") or (pod.get("securityContext") or {}).get("seccompProfile") or {}
        if profile.get("type") not in ("RuntimeDefault", "Localhost"):
            found.append(f'seccompProfile (container "{item["name"]}")')
    return found


def _bytes(text: str) -> float:
    units = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 1e3, "M": 1e6, "G": 1e9}
    unit = next((unit for unit in units if str(text).endswith(unit)), "")
    return float(str(text).removesuffix(unit)) * units.get(unit, 1)


def duplicates(document: dict[str, Any]) -> Iterator[str]:
    """Associative lists with the same key twice, which server-side apply cannot type."""
    template, path = pod_template(document)
    names = [item.get("name") for item in (template.get("spec") or {}).get("containers") or ()]
    for name in {name for name in names if names.count(name) > 1}:
        yield f'.{path}.spec.containers: duplicate entries for key [name="{name}"]'


def warnings(document: dict[str, Any]) -> Iterator[str]:
    """What is accepted with a warning in any namespace."""
    template, path = pod_template(document)
    if ((template.get("spec") or {}).get("terminationGracePeriodSeconds") or 0) < 0:
        yield f"{path}.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
