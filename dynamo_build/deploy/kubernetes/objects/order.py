"""The order in which objects are applied: what others need comes first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ORDER = (
    "CustomResourceDefinition",
    "Namespace",
    "PriorityClass",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ConfigMap",
    "Secret",
    "PersistentVolumeClaim",
    "Service",
    "StatefulSet",
    "Deployment",
    "LeaderWorkerSet",
    "DynamoGraphDeployment",
    "HorizontalPodAutoscaler",
    "ScaledObject",
    "PodDisruptionBudget",
    "NetworkPolicy",
    "Ingress",
    "HTTPRoute",
    "PodMonitor",
)


def sort_key(document: Mapping[str, Any]) -> tuple[int, str, str]:
    """Sorts by kind, then by name; kinds that are not known come last."""
    kind = str(document.get("kind", ""))
    rank = _ORDER.index(kind) if kind in _ORDER else len(_ORDER)
    return rank, kind, str((document.get("metadata") or {}).get("name", ""))
