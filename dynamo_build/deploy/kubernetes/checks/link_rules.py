"""Rules over several objects: what one names must be there. No API server looks at these."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from dynamo_build.deploy.kubernetes.checks.finding import (
    Document,
    containers,
    mapping,
    name_of,
    pod_labels,
    pod_of,
    pod_path,
    sequence,
    where,
)
from dynamo_build.model.deployment import Finding

Identity = tuple[str, str]


def link_findings(documents: Sequence[Document], provided: Collection[Identity]) -> Iterator[Finding]:
    """`provided` are (kind, name) of objects that are known to be made elsewhere."""
    present = {(str(document.get("kind")), name_of(document)) for document in documents} | set(provided)
    seen: set[tuple[Identity, str]] = set()
    for document in documents:
        identity = ((str(document.get("kind")), name_of(document)), str(document.get("apiVersion")))
        if identity in seen:
            yield Finding(where=where(document), path="metadata.name", message="a second object has this kind and name")
        seen.add(identity)
    workloads = _Workloads(documents)
    for document in documents:
        kind = document.get("kind")
        if kind == "Service":
            yield from _service(document, workloads)
        elif kind == "Ingress":
            yield from _ingress(document, documents)
        elif kind == "HTTPRoute":
            yield from _route(document, documents)
        elif kind in ("HorizontalPodAutoscaler", "ScaledObject"):
            yield from _reference(document, "spec.scaleTargetRef", mapping(document, "spec", "scaleTargetRef"), present)
        elif kind == "RoleBinding":
            yield from _role_binding(document, present)
        elif kind == "StatefulSet":
            name = mapping(document, "spec").get("serviceName")
            if name and ("Service", name) not in present:
                yield Finding(where=where(document), path="spec.serviceName", message=f"there is no Service `{name}`")
        elif kind in ("PodDisruptionBudget", "NetworkPolicy"):
            yield from _selects(document, workloads)
    for document in workloads.all:
        yield from _pod_references(document, present)


class _Workloads:
    """The workloads by the labels of their pods: a thousand selectors need not look at a thousand workloads each."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self.all = [document for document in documents if pod_of(document)]
        self._labelled: dict[tuple[str, Any], set[int]] = {}
        for index, document in enumerate(self.all):
            for label in pod_labels(document).items():
                if isinstance(label[1], str):
                    self._labelled.setdefault(label, set()).add(index)

    def selected(self, selector: Mapping[str, Any]) -> list[Document]:
        """The workloads whose pods have all of these labels."""
        found = sorted((self._labelled.get((key, str(value)), set()) for key, value in selector.items()), key=len)
        return [self.all[index] for index in sorted(set.intersection(*found))] if found else self.all


def _service(document: Document, workloads: _Workloads) -> Iterator[Finding]:
    selector = mapping(document, "spec", "selector")
    if not selector:
        return
    selected = workloads.selected(selector)
    if not selected:
        yield Finding(where=where(document), path="spec.selector", message="selects no pod of these manifests")
        return
    named = {
        port.get("name")
        for item in selected
        for _, container in containers(item)
        for port in sequence(container, "ports")
    }
    for index, port in enumerate(sequence(mapping(document, "spec"), "ports")):
        target = port.get("targetPort")
        if isinstance(target, str) and target not in named:
            message = f"no container port is called `{target}`"
            yield Finding(where=where(document), path=f"spec.ports[{index}].targetPort", message=message)


def _selects(document: Document, workloads: _Workloads) -> Iterator[Finding]:
    field = "selector" if document.get("kind") == "PodDisruptionBudget" else "podSelector"
    wanted = mapping(document, "spec", field, "matchLabels")
    if wanted and not workloads.selected(wanted):
        yield Finding(where=where(document), path=f"spec.{field}", message="selects no pod of these manifests")


def _ingress(document: Document, documents: Sequence[Document]) -> Iterator[Finding]:
    services = {name_of(item): item for item in documents if item.get("kind") == "Service"}
    for rule in sequence(mapping(document, "spec"), "rules"):
        for path in sequence(mapping(rule, "http"), "paths"):
            backend = mapping(path, "backend", "service")
            place = "spec.rules.http.paths.backend.service"
            service = services.get(str(backend.get("name")))
            if service is None:
                yield Finding(where=where(document), path=place, message=f"there is no Service `{backend.get('name')}`")
                continue
            wanted = mapping(backend, "port")
            ports = sequence(mapping(service, "spec"), "ports")
            if not any(
                port.get("name") == wanted.get("name") or port.get("port") == wanted.get("number") for port in ports
            ):
                message = f"Service `{backend['name']}` has no such port"
                yield Finding(where=where(document), path=f"{place}.port", message=message)


def _route(document: Document, documents: Sequence[Document]) -> Iterator[Finding]:
    services = {name_of(item): item for item in documents if item.get("kind") == "Service"}
    for rule in sequence(mapping(document, "spec"), "rules"):
        for backend in sequence(rule, "backendRefs"):
            service = services.get(str(backend.get("name")))
            place = "spec.rules.backendRefs"
            if service is None:
                yield Finding(where=where(document), path=place, message=f"there is no Service `{backend.get('name')}`")
            elif backend.get("port") not in {port.get("port") for port in sequence(service.get("spec"), "ports")}:
                message = f"Service `{backend['name']}` has no such port"
                yield Finding(where=where(document), path=f"{place}.port", message=message)


def _reference(
    document: Document, path: str, reference: Mapping[str, Any], present: Collection[Identity]
) -> Iterator[Finding]:
    kind, name = str(reference.get("kind")), str(reference.get("name"))
    if (kind, name) not in present:
        yield Finding(where=where(document), path=path, message=f"there is no {kind} `{name}`")


def _role_binding(document: Document, present: Collection[Identity]) -> Iterator[Finding]:
    if mapping(document, "roleRef").get("kind") == "Role":
        yield from _reference(document, "roleRef", mapping(document, "roleRef"), present)
    for subject in sequence(document, "subjects"):
        if subject.get("kind") == "ServiceAccount":
            yield from _reference(document, "subjects", subject, present)


def _pod_references(document: Document, present: Collection[Identity]) -> Iterator[Finding]:
    pod, path = pod_of(document), pod_path(document)
    wanted: list[tuple[str, str, Any]] = [("ServiceAccount", "serviceAccountName", pod.get("serviceAccountName"))]
    priority = pod.get("priorityClassName")
    if priority and not str(priority).startswith("system-"):
        wanted.append(("PriorityClass", "priorityClassName", priority))
    for volume in sequence(pod, "volumes"):
        wanted.append(("PersistentVolumeClaim", "volumes", mapping(volume, "persistentVolumeClaim").get("claimName")))
        wanted.append(("ConfigMap", "volumes", mapping(volume, "configMap").get("name")))
        wanted.append(("Secret", "volumes", mapping(volume, "secret").get("secretName")))
    for _, container in containers(document):
        for variable in sequence(container, "env"):
            for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
                wanted.append((kind, "containers.env", mapping(variable, "valueFrom", field).get("name")))
    for kind, field, name in dict.fromkeys(wanted):
        if name and name != "default" and (kind, name) not in present:
            message = f"{kind} `{name}` is not in these manifests; it must be there already"
            yield Finding(where=where(document), path=f"{path}.{field}", message=message, warning=True)
