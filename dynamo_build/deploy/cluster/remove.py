"""Remove a deployment: what it holds against the order of applying, its parent last, so that a cut can be resumed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from dynamo_build.deploy.cluster import applyset, members
from dynamo_build.deploy.cluster.answer import build_answer_error
from dynamo_build.deploy.cluster.api_client import Connection
from dynamo_build.deploy.cluster.resource import Resource, Resources
from dynamo_build.deploy.kubernetes.objects.object_layout import MANAGER, NATS
from dynamo_build.deploy.kubernetes.objects.order import sort_key
from dynamo_build.errors import DeployError
from dynamo_build.events import Finished, Listener, Noted, Started

_INTERVAL = 0.5
_CLAIM = Resource(api_version="v1", kind="PersistentVolumeClaim", plural="persistentvolumeclaims")
_SECRET = Resource(api_version="v1", kind="Secret", plural="secrets")


def remove_deployment(
    connection: Connection,
    parent: Mapping[str, Any],
    seconds: float,
    on: Listener,
    *,
    claims: bool = False,
    interval: float = _INTERVAL,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[str, ...]:
    """Delete all that a deployment holds and wait until it is gone; claims only when asked for.

    Gives `Kind/name` of what was removed. Raises DeployError, naming what stays and what holds it.
    """
    metadata = parent["metadata"]
    name, namespace = str(metadata["name"]), str(metadata["namespace"])
    on(Started(what=f"removing {name}"))
    found = _list_objects(connection, parent, claims=claims)
    for resource, item in found:
        _delete_object(connection, resource, str(item["metadata"]["name"]), namespace)
        on(Noted(text=f"removed {resource.kind}/{item['metadata']['name']}"))
    deadline = time.monotonic() + seconds
    staying = found
    while staying := [one for one in map(_build_lookup(connection, namespace), staying) if one is not None]:
        if time.monotonic() >= deadline:
            text = "; ".join(_explain_staying(resource, item) for resource, item in staying)
            hint = "Whoever put the finalizers there has to let go; run the command again to go on."
            raise DeployError(f"{name} was not gone after {seconds:g} s: {text}", [hint])
        sleep(interval)
    own = Resource(api_version="v1", kind="ConfigMap", plural="configmaps")
    for item in connection.list_items(members.CONFIG_MAPS.format(namespace), f"dynamo/revisions-of={name}"):
        _delete_object(connection, own, str(item["metadata"]["name"]), namespace)
    _delete_object(connection, own, name, namespace)
    on(Finished(what=f"removed {name}", detail=f"{len(found)} objects"))
    return tuple(f"{resource.kind}/{item['metadata']['name']}" for resource, item in found)


def _list_objects(
    connection: Connection, parent: Mapping[str, Any], *, claims: bool
) -> list[tuple[Resource, Mapping[str, Any]]]:
    metadata = parent["metadata"]
    name, namespace = str(metadata["name"]), str(metadata["namespace"])
    resources = Resources(connection)
    kinds = (members.find_resource(connection, resources, kind) for kind in sorted(members.list_kinds(parent)))
    wanted = [kind for kind in kinds if kind is not None and (claims or kind.kind != _CLAIM.kind)]
    found = list(members.list_members(connection, wanted, namespace, applyset.compute_set_id(name, namespace)))
    instance = f"app.kubernetes.io/instance={name}"
    for item in connection.list_items(
        _SECRET.build_collection_path(namespace), f"{instance},app.kubernetes.io/managed-by={MANAGER}"
    ):
        found.append((_SECRET, {"kind": _SECRET.kind, **item}))
    if claims:  # those that a StatefulSet made carry the labels of its selector
        for item in connection.list_items(
            _CLAIM.build_collection_path(namespace), f"{instance},app.kubernetes.io/name={NATS}"
        ):
            found.append((_CLAIM, {"kind": _CLAIM.kind, **item}))
    found.sort(key=lambda one: sort_key({"kind": one[0].kind, **one[1]}), reverse=True)
    return found


def _delete_object(connection: Connection, resource: Resource, name: str, namespace: str) -> None:
    query = {"propagationPolicy": "Background"}
    answer = connection.request("DELETE", resource.build_path(name, namespace), query=query)
    if not answer.is_ok and answer.status != 404:
        raise build_answer_error(answer, f"{resource.kind}/{name}")


def _build_lookup(
    connection: Connection, namespace: str
) -> Callable[[tuple[Resource, Mapping[str, Any]]], tuple[Resource, Mapping[str, Any]] | None]:
    def look(one: tuple[Resource, Mapping[str, Any]]) -> tuple[Resource, Mapping[str, Any]] | None:
        resource, item = one
        live = connection.get(resource.build_path(str(item["metadata"]["name"]), namespace))
        same = live is not None and live["metadata"].get("uid") == item["metadata"].get("uid")
        return (resource, live) if same else None

    return look


def _explain_staying(resource: Resource, item: Mapping[str, Any]) -> str:
    finalizers = item["metadata"].get("finalizers") or ()
    held = f" (held by {', '.join(finalizers)})" if finalizers else ""
    return f"{resource.kind}/{item['metadata']['name']}{held}"
