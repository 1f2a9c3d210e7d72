"""Rules over several objects: what one names must be there. No API server looks at these."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from dynamo_build.deploy.kubernetes.checks.finding import (
    Document,
    describe_object,
    get_mapping,
    get_pod,
    get_sequence,
    list_containers,
    pod_labels,
    pod_path,
    read_name,
)
from dynamo_build.model.deployment import Finding

Identity = tuple[str, str]


def link_findings(documents: Sequence[Document], provided: Collection[Identity]) -> Iterator[Finding]:
    """`provided` are (kind, name) of objects that are known to be made elsewhere."""
    present = {(str(document.get("kind")), read_name(document)) for document in documents} | set(provided)
    seen: set[tuple[Identity, str]] = set()
    for document in documents:
        identity = ((str(document.get("kind")), read_name(document)), str(document.get("apiVersion")))
        if identity in seen:
            yield Finding(
                where=describe_object(document), path="metadata.name", message="a second object has this kind and name"
            )
        seen.add(identity)
    workloads = _Workloads(documents)
    for document in documents:
        kind = document.get("kind")
        if kind == "Service":
            yield from _check_service(document, workloads)
        elif kind == "Ingress":
            yield from _check_ingress(document, documents)
        elif kind == "HTTPRoute":
            yield from _check_route(document, documents)
        elif kind in ("HorizontalPodAutoscaler", "ScaledObject"):
            yield from _check_reference(
                document, "spec.scaleTargetRef", get_mapping(document, "spec", "scaleTargetRef"), present
            )
        elif kind == "RoleBinding":
            yield from _check_role_binding(document, present)
        elif kind == "StatefulSet":
            name = get_mapping(document, "spec").get("serviceName")
            if name and ("Service", name) not in present:
                yield Finding(
                    where=describe_object(document), path="spec.serviceName", message=f"there is no Service `{name}`"
                )
        elif kind in ("PodDisruptionBudget", "NetworkPolicy"):
            yield from _check_selector(document, workloads)
    for document in workloads.all:
        yield from _check_pod_references(document, present)


class _Workloads:
    """The workloads by the labels of their pods: a thousand selectors need not look at a thousand workloads each."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self.all = [document for document in documents if get_pod(document)]
        self._labelled: dict[tuple[str, Any], set[int]] = {}
        for index, document in enumerate(self.all):
            for label in pod_labels(document).items():
                if isinstance(label[1], str):
                    self._labelled.setdefault(label, set()).add(index)

    def select_workloads(self, selector: Mapping[str, Any]) -> list[Document]:
        """The workloads whose pods have all of these labels."""
        found = sorted((self._labelled.get((key, str(value)), set()) for key, value in selector.items()), key=len)
        return [self.all[index] for index in sorted(set.intersection(*found))] if found else self.all


def _check_service(document: Document, workloads: _Workloads) -> Iterator[Finding]:
    selector = get_mapping(document, "spec", "selector")
    if not selector:
        return
    selected = workloads.select_workloads(selector)
    if not selected:
        yield Finding(
            where=describe_object(document), path="spec.selector", message="selects no pod of these manifests"
        )
        return
    named = {
        port.get("name")
        for item in selected
        for _, container in list_containers(item)
        for port in get_sequence(container, "ports")
    }
    for index, port in enumerate(get_sequence(get_mapping(document, "spec"), "ports")):
        target = port.get("targetPort")
        if isinstance(target, str) and target not in named:
            message = f"no container port is called `{target}`"
            yield Finding(where=describe_object(document), path=f"spec.ports[{index}].targetPort", message=message)


def _check_selector(document: Document, workloads: _Workloads) -> Iterator[Finding]:
    field = "selector" if document.get("kind") == "PodDisruptionBudget" else "podSelector"
    wanted = get_mapping(document, "spec", field, "matchLabels")
    if wanted and not workloads.select_workloads(wanted):
        yield Finding(
            where=describe_object(document), path=f"spec.{field}", message="selects no pod of these manifests"
        )


def _check_ingress(document: Document, documents: Sequence[Document]) -> Iterator[Finding]:
    services = {read_name(item): item for item in documents if item.get("kind") == "Service"}
    for rule in get_sequence(get_mapping(document, "spec"), "rules"):
        for path in get_sequence(get_mapping(rule, "http"), "paths"):
            backend = get_mapping(path, "backend", "service")
            place = "spec.rules.http.paths.backend.service"
            service = services.get(str(backend.get("name")))
            if service is None:
                yield Finding(
                    where=describe_object(document), path=place, message=f"there is no Service `{backend.get('name')}`"
                )
                continue
            wanted = get_mapping(backend, "port")
            ports = get_sequence(get_mapping(service, "spec"), "ports")
            if not any(
                port.get("name") == wanted.get("name") or port.get("port") == wanted.get("number") for port in ports
            ):
                message = f"Service `{backend['name']}` has no such port"
                yield Finding(where=describe_object(document), path=f"{place}.port", message=message)


def _check_route(document: Document, documents: Sequence[Document]) -> Iterator[Finding]:
    services = {read_name(item): item for item in documents if item.get("kind") == "Service"}
    for rule in get_sequence(get_mapping(document, "spec"), "rules"):
        for backend in get_sequence(rule, "backendRefs"):
            service = services.get(str(backend.get("name")))
            place = "spec.rules.backendRefs"
            if service is None:
                yield Finding(
                    where=describe_object(document), path=place, message=f"there is no Service `{backend.get('name')}`"
                )
            elif backend.get("port") not in {port.get("port") for port in get_sequence(service.get("spec"), "ports")}:
                message = f"Service `{backend['name']}` has no such port"
                yield Finding(where=describe_object(document), path=f"{place}.port", message=message)


def _check_reference(
    document: Document, path: str, reference: Mapping[str, Any], present: Collection[Identity]
) -> Iterator[Finding]:
    kind, name = str(reference.get("kind")), str(reference.get("name"))
    if (kind, name) not in present:
        yield Finding(where=describe_object(document), path=path, message=f"there is no {kind} `{name}`")


def _check_role_binding(document: Document, present: Collection[Identity]) -> Iterator[Finding]:
    if get_mapping(document, "roleRef").get("kind") == "Role":
        yield from _check_reference(document, "roleRef", get_mapping(document, "roleRef"), present)
    for subject in get_sequence(document, "subjects"):
        if subject.get("kind") == "ServiceAccount":
            yield from _check_reference(document, "subjects", subject, present)


def _check_pod_references(document: Document, present: Collection[Identity]) -> Iterator[Finding]:
    pod, path = get_pod(document), pod_path(document)
    wanted: list[tuple[str, str, Any]] = [("ServiceAccount", "serviceAccountName", pod.get("serviceAccountName"))]
    priority = pod.get("priorityClassName")
    if priority and not str(priority).startswith("system-"):
        wanted.append(("PriorityClass", "priorityClassName", priority))
    for volume in get_sequence(pod, "volumes"):
        wanted.append(
            ("PersistentVolumeClaim", "volumes", get_mapping(volume, "persistentVolumeClaim").get("claimName"))
        )
        wanted.append(("ConfigMap", "volumes", get_mapping(volume, "configMap").get("name")))
        wanted.append(("Secret", "volumes", get_mapping(volume, "secret").get("secretName")))
    for _, container in list_containers(document):
        for variable in get_sequence(container, "env"):
            for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
                wanted.append((kind, "containers.env", get_mapping(variable, "valueFrom", field).get("name")))
    for kind, field, name in dict.fromkeys(wanted):
        if name and name != "default" and (kind, name) not in present:
            message = f"{kind} `{name}` is not in these manifests; it must be there already"
            yield Finding(where=describe_object(document), path=f"{path}.{field}", message=message, warning=True)
