"""One thing wrong with a manifest, and the few ways of reading a parsed document that all rules share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]

_POD_PATHS: Mapping[str, tuple[str, ...]] = {
    "Pod": ("spec",),
    "Deployment": ("spec", "template", "spec"),
    "StatefulSet": ("spec", "template", "spec"),
    "DaemonSet": ("spec", "template", "spec"),
    "ReplicaSet": ("spec", "template", "spec"),
    "Job": ("spec", "template", "spec"),
    "LeaderWorkerSet": ("spec", "leaderWorkerTemplate", "leaderTemplate", "spec"),
}


def where(document: Document) -> str:
    return f"{document.get('kind', '?')}/{name_of(document) or '?'}"


def name_of(document: Document) -> str:
    name = mapping(document, "metadata").get("name")
    return name if isinstance(name, str) else ""


def mapping(document: Any, *path: str) -> Mapping[str, Any]:
    """The map at a path, empty where there is none."""
    for key in path:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document if isinstance(document, Mapping) else {}


def sequence(document: Any, key: str) -> Sequence[Any]:
    """The list of maps under a key, empty where there is none."""
    value = document.get(key) if isinstance(document, Mapping) else None
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def pod_path(document: Document) -> str:
    return ".".join(_POD_PATHS.get(str(document.get("kind")), ()))


def pod_of(document: Document) -> Mapping[str, Any]:
    """The pod spec inside a document; empty for kinds without one."""
    path = _POD_PATHS.get(str(document.get("kind")))
    return mapping(document, *path) if path else {}


def pod_labels(document: Document) -> Mapping[str, Any]:
    path = _POD_PATHS.get(str(document.get("kind")), ("spec", "template", "spec"))
    return mapping(document, *path[:-1], "metadata", "labels")


def containers(document: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The containers of a document's pod, each with its path."""
    pod, path = pod_of(document), pod_path(document)
    for field in ("initContainers", "containers"):
        for index, container in enumerate(sequence(pod, field)):
            yield f"{path}.{field}[{index}]", container
