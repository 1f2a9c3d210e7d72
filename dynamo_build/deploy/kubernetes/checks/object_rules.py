"""Rules over one object: API version, names, labels, namespace, data, counts.

Source: the validation of Kubernetes 1.36, as its API server answered it for each of these mistakes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from dynamo_build.deploy.kubernetes.checks.finding import (
    Document,
    mapping,
    name_of,
    pod_labels,
    sequence,
    where,
)
from dynamo_build.deploy.kubernetes.objects import names, quantity
from dynamo_build.model.deployment import Finding

#: The API version of each kind that Kubernetes 1.30 to 1.37 serve.
API_VERSIONS: Mapping[str, str] = {
    "Namespace": "v1",
    "Pod": "v1",
    "Service": "v1",
    "ServiceAccount": "v1",
    "ConfigMap": "v1",
    "Secret": "v1",
    "PersistentVolumeClaim": "v1",
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Ingress": "networking.k8s.io/v1",
    "PriorityClass": "scheduling.k8s.io/v1",
    "LeaderWorkerSet": "leaderworkerset.x-k8s.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "ScaledObject": "keda.sh/v1alpha1",
    "PodMonitor": "monitoring.coreos.com/v1",
}
_DNS_LABEL_KINDS = ("Service", "Namespace")
_CLUSTER_WIDE = ("Namespace", "PriorityClass", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding")


def object_findings(document: Document, namespace: str) -> Iterator[Finding]:
    """Everything wrong with one object by itself."""
    for rule in (_api_version, _metadata, _labels, _data, _workload, _budget, _autoscaler, _claims, _policy):
        for path, message in rule(document):
            yield Finding(where=where(document), path=path, message=message)
    own = mapping(document, "metadata").get("namespace")
    if document.get("kind") not in _CLUSTER_WIDE and own not in (None, namespace):
        yield Finding(where=where(document), path="metadata.namespace", message=f"`{own}` is not `{namespace}`")


def _api_version(document: Document) -> Iterator[tuple[str, str]]:
    kind, version = document.get("kind"), document.get("apiVersion")
    if not kind or not version:
        yield "kind", "an object needs apiVersion and kind"
        return
    wanted = API_VERSIONS.get(str(kind))
    if wanted is not None and version != wanted:
        yield "apiVersion", f"{kind} is served as {wanted}, not {version}"


def _metadata(document: Document) -> Iterator[tuple[str, str]]:
    name = name_of(document)
    fits = names.is_dns_label if document.get("kind") in _DNS_LABEL_KINDS else names.is_subdomain
    if not fits(name):
        yield "metadata.name", f"`{name}` is not a DNS name of lower-case letters, digits and `-`, 63 at most"


def _labels(document: Document) -> Iterator[tuple[str, str]]:
    places = {
        "metadata.labels": mapping(document, "metadata", "labels"),
        "spec.template.metadata.labels": mapping(document, "spec", "template", "metadata", "labels"),
    }
    for path, labels in places.items():
        for key, value in labels.items():
            if not names.is_label_key(str(key)):
                yield path, f"`{key}` is not the key of a label"
            if not isinstance(value, str) or not names.is_label_value(value):
                yield path, f"`{value}` is not a label value of at most 63 letters, digits, `-`, `_` and `.`"


def _data(document: Document) -> Iterator[tuple[str, str]]:
    if document.get("kind") not in ("ConfigMap", "Secret"):
        return
    for field in ("data", "stringData"):
        for key, value in mapping(document, field).items():
            if not isinstance(key, str) or not isinstance(value, str):
                yield f"{field}.{key}", f"`{value}` is not a string"
            elif document["kind"] == "Secret" and field == "data":
                try:
                    base64.b64decode(value, validate=True)
                except (binascii.Error, ValueError):
                    yield f"{field}.{key}", "the value is not base64"


def _workload(document: Document) -> Iterator[tuple[str, str]]:
    if document.get("kind") not in ("Deployment", "StatefulSet"):
        return
    spec = mapping(document, "spec")
    wanted = mapping(spec, "selector", "matchLabels")
    if not wanted and not sequence(spec.get("selector"), "matchExpressions"):
        yield "spec.selector", "a selector is required"
    labels = pod_labels(document)
    if any(labels.get(key) != value for key, value in wanted.items()):
        yield "spec.template.metadata.labels", "the selector does not match the labels of the template"
    replicas = spec.get("replicas", 1)
    if isinstance(replicas, int) and replicas < 0:
        yield "spec.replicas", f"{replicas} is negative"
    rolling = mapping(spec, "strategy", "rollingUpdate")
    if rolling and _is_zero(rolling.get("maxSurge", "25%")) and _is_zero(rolling.get("maxUnavailable", "25%")):
        yield "spec.strategy.rollingUpdate.maxUnavailable", "may not be 0 when maxSurge is 0"


def _is_zero(value: Any) -> bool:
    return value in (0, "0", "0%")


def _budget(document: Document) -> Iterator[tuple[str, str]]:
    if document.get("kind") != "PodDisruptionBudget":
        return
    spec = mapping(document, "spec")
    if "minAvailable" in spec and "maxUnavailable" in spec:
        yield "spec", "minAvailable and maxUnavailable exclude each other"


def _autoscaler(document: Document) -> Iterator[tuple[str, str]]:
    if document.get("kind") != "HorizontalPodAutoscaler":
        return
    spec = mapping(document, "spec")
    lowest, highest = spec.get("minReplicas", 1), spec.get("maxReplicas")
    if not isinstance(highest, int) or highest < 1:
        yield "spec.maxReplicas", "must be at least 1"
    elif isinstance(lowest, int) and lowest > highest:
        yield "spec.maxReplicas", f"minReplicas {lowest} is more than maxReplicas {highest}"


def _claims(document: Document) -> Iterator[tuple[str, str]]:
    claims: list[tuple[str, Any]] = []
    if document.get("kind") == "PersistentVolumeClaim":
        claims.append(("spec", mapping(document, "spec")))
    for index, claim in enumerate(sequence(mapping(document, "spec"), "volumeClaimTemplates")):
        claims.append((f"spec.volumeClaimTemplates[{index}].spec", mapping(claim, "spec")))
    for path, spec in claims:
        size = mapping(spec, "resources", "requests").get("storage")
        if size is None:
            yield f"{path}.resources[storage]", "a claim needs a size"
        elif quantity.parse(str(size)) is None:
            yield f"{path}.resources.requests.storage", f"`{size}` is not a quantity"


def _policy(document: Document) -> Iterator[tuple[str, str]]:
    if document.get("kind") != "NetworkPolicy":
        return
    for direction in ("ingress", "egress"):
        for index, rule in enumerate(sequence(mapping(document, "spec"), direction)):
            for port in sequence(rule, "ports"):
                number = port.get("port")
                if isinstance(number, int) and not 1 <= number <= 65535:
                    yield f"spec.{direction}[{index}].ports", f"{number} is not a port"
