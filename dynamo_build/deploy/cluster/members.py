"""The objects of a deployment on the cluster, found by the labels of its set, not by the manifests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dynamo_build.deploy.cluster import applyset
from dynamo_build.deploy.cluster.api_client import Connection
from dynamo_build.deploy.cluster.resource import Resource, Resources
from dynamo_build.deploy.kubernetes.objects.object_layout import MANAGER
from dynamo_build.errors import DeployError

CONFIG_MAPS = "/api/v1/namespaces/{}/configmaps"


def list_parents(connection: Connection, namespace: str) -> Iterator[Mapping[str, Any]]:
    """The parent objects of all deployments in a namespace, or in all ("")."""
    path = CONFIG_MAPS.format(namespace) if namespace else "/api/v1/configmaps"
    selector = f"{applyset.ID},app.kubernetes.io/managed-by={MANAGER}"
    for item in connection.list_items(path, selector):
        metadata = item["metadata"]
        if metadata["labels"][applyset.ID] == applyset.compute_set_id(metadata["name"], metadata["namespace"]):
            yield item


def find_parent(connection: Connection, name: str, namespace: str) -> Mapping[str, Any]:
    """The parent object of one deployment. Raises DeployError when there is none."""
    found = connection.get(f"{CONFIG_MAPS.format(namespace)}/{name}")
    labels = ((found or {}).get("metadata") or {}).get("labels") or {}
    if labels.get(applyset.ID) != applyset.compute_set_id(name, namespace):
        hint = "See `dynamo deployment list --all-namespaces`."
        raise DeployError(f"there is no deployment `{name}` in the namespace {namespace}", [hint])
    return dict(found)


def list_kinds(parent: Mapping[str, Any]) -> set[str]:
    """The kinds that a parent says its set may hold."""
    text = ((parent.get("metadata") or {}).get("annotations") or {}).get(applyset.CONTAINS, "")
    return {kind for kind in text.split(",") if kind}


def find_resource(connection: Connection, resources: Resources, group_kind: str) -> Resource | None:
    """The resource of `Kind.group` in the version that the server prefers; None when it serves it no more."""
    kind, _, group = group_kind.partition(".")
    if not group:
        return resources.resolve_kind("v1", kind)
    listing = connection.get(f"/apis/{group}")
    version = ((listing or {}).get("preferredVersion") or {}).get("groupVersion")
    try:
        return resources.resolve_kind(str(version), kind) if version else None
    except DeployError:
        return None


def list_members(
    connection: Connection, resources: Iterable[Resource], namespace: str, identifier: str
) -> Iterator[tuple[Resource, Mapping[str, Any]]]:
    """The objects of a set: one list per kind in place of one read per object.

    A list does not say of its items what they are; here they do.
    """
    for resource in resources:
        if resource.namespaced:
            for item in connection.list_items(
                resource.build_collection_path(namespace), f"{applyset.PART_OF}={identifier}"
            ):
                yield resource, {"apiVersion": resource.api_version, "kind": resource.kind, **item}
