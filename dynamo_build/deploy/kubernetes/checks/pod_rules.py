"""Rules over the pod of a workload: containers, probes, resources, volumes, enums, Pod Security "restricted"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dynamo_build.deploy.kubernetes.checks.finding import (
    Document,
    describe_object,
    get_mapping,
    get_pod,
    get_sequence,
    list_containers,
    pod_path,
)
from dynamo_build.deploy.kubernetes.objects import names, quantity
from dynamo_build.deploy.kubernetes.objects.object_layout import NATS
from dynamo_build.model.deployment import Finding

_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9](?:[a-z0-9]|-(?!-)){0,13}[a-z0-9]|[a-z]")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_ENUMS: Mapping[str, tuple[str, ...]] = {
    "imagePullPolicy": ("Always", "IfNotPresent", "Never"),
    "effect": ("NoSchedule", "PreferNoSchedule", "NoExecute"),
    "whenUnsatisfiable": ("DoNotSchedule", "ScheduleAnyway"),
    "operator": ("Exists", "Equal", "Lt", "Gt"),
}


def pod_findings(document: Document) -> Iterator[Finding]:
    """Everything wrong with the pod of a workload; nothing for other kinds."""
    pod, path = get_pod(document), pod_path(document)
    if not pod:
        return
    found = [*_check_pod(pod, path)]
    for place, container in list_containers(document):
        for rule in (_check_image, _check_ports, _check_environment, _check_probes, _check_resources):
            found += rule(container, place)
        found += _check_mounts(container, place, document)
    for place, message in found:
        yield Finding(where=describe_object(document), path=place, message=message)
    for place, container in list_containers(document):
        image = container.get("image")
        if isinstance(image, str) and image and "@" not in image:
            how = " with --nats-image" if container.get("name") == NATS else ""
            message = f"`{image}` is a tag, which may come to mean another image; name it by digest{how}"
            yield Finding(where=describe_object(document), path=f"{place}.image", message=message, warning=True)
    for place, message in _check_security(document, pod, path):
        yield Finding(where=describe_object(document), path=place, message=message, warning=True)


def _check_enum(holder: Mapping[str, Any], key: str, path: str) -> Iterator[tuple[str, str]]:
    value = holder.get(key)
    if value is not None and value not in _ENUMS[key]:
        yield f"{path}.{key}", f"`{value}` is not one of {', '.join(_ENUMS[key])}"


def _check_pod(pod: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for index, toleration in enumerate(get_sequence(pod, "tolerations")):
        yield from _check_enum(toleration, "effect", f"{path}.tolerations[{index}]")
        yield from _check_enum(toleration, "operator", f"{path}.tolerations[{index}]")
    for index, spread in enumerate(get_sequence(pod, "topologySpreadConstraints")):
        yield from _check_enum(spread, "whenUnsatisfiable", f"{path}.topologySpreadConstraints[{index}]")
    grace = pod.get("terminationGracePeriodSeconds", 0)
    if isinstance(grace, int) and grace < 0:
        yield f"{path}.terminationGracePeriodSeconds", f"{grace} is negative"
    seen: set[str] = set()
    for field in ("initContainers", "containers"):
        for index, container in enumerate(get_sequence(pod, field)):
            name = str(container.get("name", ""))
            if not names.is_dns_label(name):
                yield f"{path}.{field}[{index}].name", f"`{name}` is not a DNS label"
            if name in seen:
                yield f"{path}.{field}[{index}].name", f"a second container is called `{name}`"
            seen.add(name)
    if not get_sequence(pod, "containers"):
        yield f"{path}.containers", "a pod needs a container"


def _check_image(container: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    image = container.get("image")
    if not image:
        yield f"{path}.image", "an image is required"
    elif not isinstance(image, str) or re.search(r"\s", image):
        yield f"{path}.image", f"`{image}` is not an image reference"
    yield from _check_enum(container, "imagePullPolicy", path)


def _check_ports(container: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for index, port in enumerate(get_sequence(container, "ports")):
        name, number = port.get("name"), port.get("containerPort")
        if name is not None and not _PORT_NAME.fullmatch(str(name)):
            yield f"{path}.ports[{index}].name", f"`{name}` is not a port name of at most 15 letters, digits and `-`"
        if not isinstance(number, int) or not 1 <= number <= 65535:
            yield f"{path}.ports[{index}].containerPort", f"`{number}` is not a port"


def _check_environment(container: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for index, variable in enumerate(get_sequence(container, "env")):
        if variable.get("value") and "valueFrom" in variable:
            yield f"{path}.env[{index}].valueFrom", "value and valueFrom exclude each other"
        if not isinstance(variable.get("value", ""), str):
            yield f"{path}.env[{index}].value", f"`{variable.get('value')}` is not a string"


def _check_probes(container: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for field in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = get_mapping(container, field)
        handlers = [name for name in _HANDLERS if name in probe]
        if len(handlers) > 1:
            yield f"{path}.{field}.{handlers[1]}", "may not specify more than 1 handler type"
        elif field in container and not handlers:
            yield f"{path}.{field}", "must specify a handler type"
        port = get_mapping(probe, "httpGet").get("port")
        if isinstance(port, str) and port not in {item.get("name") for item in get_sequence(container, "ports")}:
            yield f"{path}.{field}.httpGet.port", f"no port of the container is called `{port}`"


def _check_resources(container: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    requests, limits = get_mapping(container, "resources", "requests"), get_mapping(container, "resources", "limits")
    for field, values in (("requests", requests), ("limits", limits)):
        for name, value in values.items():
            if quantity.parse_quantity(str(value)) is None:
                yield f"{path}.resources.{field}.{name}", f"`{value}` is not a quantity"
    for name, value in requests.items():
        wanted, limit = quantity.parse_quantity(str(value)), quantity.parse_quantity(str(limits.get(name, "")))
        device = "/" in name
        if device and name not in limits:
            yield f"{path}.resources.limits", f"a limit must be set for {name}"
        elif wanted is not None and limit is not None and (wanted != limit if device else wanted > limit):
            relation = "must be equal to" if device else "must be less than or equal to"
            yield f"{path}.resources.requests", f"`{value}` {relation} the {name} limit of {limits[name]}"


def _check_mounts(container: Mapping[str, Any], path: str, document: Document) -> Iterator[tuple[str, str]]:
    known = {item.get("name") for item in get_sequence(get_pod(document), "volumes")}
    for template in get_sequence(get_mapping(document, "spec"), "volumeClaimTemplates"):
        known.add(get_mapping(template, "metadata").get("name"))
    for index, mount in enumerate(get_sequence(container, "volumeMounts")):
        if mount.get("name") not in known:
            yield f"{path}.volumeMounts[{index}].name", f"there is no volume `{mount.get('name')}`"


def _check_security(document: Document, pod: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    shared = get_mapping(pod, "securityContext")
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield f"{path}.{field}", "Pod Security `restricted` forbids it"
    for place, container in list_containers(document):
        own = get_mapping(container, "securityContext")
        if own.get("privileged"):
            yield f"{place}.securityContext.privileged", "Pod Security `restricted` forbids privileged containers"
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{place}.securityContext.allowPrivilegeEscalation", "Pod Security `restricted` wants false"
        if "ALL" not in (get_mapping(own, "capabilities").get("drop") or ()):
            yield f"{place}.securityContext.capabilities", "Pod Security `restricted` wants drop [ALL]"
        if not own.get("runAsNonRoot", shared.get("runAsNonRoot")):
            yield f"{place}.securityContext.runAsNonRoot", "Pod Security `restricted` wants true"
        profile = get_mapping(own, "seccompProfile") or get_mapping(shared, "seccompProfile")
        if profile.get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{place}.securityContext.seccompProfile", "Pod Security `restricted` wants RuntimeDefault"
