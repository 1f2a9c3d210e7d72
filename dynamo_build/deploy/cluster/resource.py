"""Where an object lives on the API server: its path, from a table of the usual kinds or the server's discovery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dynamo_build.deploy.cluster.api_client import Connection
from dynamo_build.errors import DeployError

_USUAL: Mapping[tuple[str, str], str] = {
    ("v1", "Namespace"): "namespaces",
    ("v1", "Pod"): "pods",
    ("v1", "Event"): "events",
    ("v1", "Service"): "services",
    ("v1", "ServiceAccount"): "serviceaccounts",
    ("v1", "ConfigMap"): "configmaps",
    ("v1", "Secret"): "secrets",
    ("v1", "PersistentVolumeClaim"): "persistentvolumeclaims",
    ("apps/v1", "Deployment"): "deployments",
    ("apps/v1", "StatefulSet"): "statefulsets",
    ("apps/v1", "ReplicaSet"): "replicasets",
    ("autoscaling/v2", "HorizontalPodAutoscaler"): "horizontalpodautoscalers",
    ("policy/v1", "PodDisruptionBudget"): "poddisruptionbudgets",
    ("networking.k8s.io/v1", "NetworkPolicy"): "networkpolicies",
    ("networking.k8s.io/v1", "Ingress"): "ingresses",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A served kind."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    def build_collection_path(self, namespace: str = "") -> str:
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"
        inside = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{inside}/{self.plural}"

    def build_path(self, name: str, namespace: str = "") -> str:
        return f"{self.build_collection_path(namespace)}/{name}"


class Resources:
    """The kinds that one server serves; asks it only for those that are not usual."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._found: dict[tuple[str, str], Resource] = {}

    def resolve_document(self, document: Mapping[str, Any]) -> Resource:
        """The resource of an object. Raises DeployError when the server does not serve its kind."""
        return self.resolve_kind(str(document.get("apiVersion")), str(document.get("kind")))

    def resolve_kind(self, api_version: str, kind: str) -> Resource:
        key = (api_version, kind)
        if key in _USUAL:
            return Resource(api_version=api_version, kind=kind, plural=_USUAL[key], namespaced=kind != "Namespace")
        if key not in self._found:
            root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
            listing = self._connection.get(root) or {}
            for item in listing.get("resources") or ():
                if "/" not in item.get("name", "/"):
                    self._found[api_version, str(item.get("kind"))] = Resource(
                        api_version=api_version,
                        kind=str(item.get("kind")),
                        plural=str(item["name"]),
                        namespaced=bool(item.get("namespaced")),
                    )
        if key not in self._found:
            hint = "Install what defines it, or leave out the option that asks for it."
            raise DeployError(f"the cluster does not serve {kind} in {api_version}", [hint])
        return self._found[key]
