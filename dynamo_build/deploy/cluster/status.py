"""The status of deployments on the cluster, with the state of each workload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dynamo_build.deploy.cluster import applyset, members
from dynamo_build.deploy.cluster.api_client import Connection
from dynamo_build.deploy.cluster.readiness import KINDS, Reasons, count_replicas, has_failed, is_workload_ready
from dynamo_build.deploy.cluster.resource import Resource, Resources

READY, WAITING, FAILED, EMPTY = "ready", "waiting", "failed", "empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadStatus:
    """One workload. `reason` is "" when it is ready."""

    kind: str
    name: str
    service: str
    image: str
    ready: int
    wanted: int
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentStatus:
    """One deployment. `state` is that of its worst workload; `updated` is when its parent was last changed."""

    name: str
    namespace: str
    bento: str
    target: str
    revision: int
    created: str
    state: str
    workloads: tuple[WorkloadStatus, ...]
    objects: tuple[str, ...] = ()


def list_statuses(connection: Connection, namespace: str) -> Iterator[DeploymentStatus]:
    """All deployments of a namespace, or of all (""). Raises DeployError."""
    for parent in members.list_parents(connection, namespace):
        yield read_status(connection, parent)


def read_status(connection: Connection, parent: Mapping[str, Any], *, objects: bool = False) -> DeploymentStatus:
    """One deployment; with `objects` all that it holds is named. Raises DeployError."""
    metadata, data = parent["metadata"], parent.get("data") or {}
    name, namespace = str(metadata["name"]), str(metadata["namespace"])
    found = list(_list_held(connection, parent, objects=objects))
    reasons = Reasons(connection, namespace, name)
    workloads = tuple(_build_workload_status(item, reasons) for resource, item in found if resource.kind in KINDS)
    states = {workload.state for workload in workloads}
    revision = str(data.get("revision", ""))
    return DeploymentStatus(
        name=name,
        namespace=namespace,
        bento=str(data.get("bento", "")),
        target=str(data.get("target", "")),
        revision=int(revision) if revision.isdecimal() else 0,
        created=str(metadata.get("creationTimestamp", "")),
        state=next((state for state in (FAILED, WAITING, READY) if state in states), EMPTY),
        workloads=workloads,
        objects=tuple(f"{resource.kind}/{item['metadata']['name']}" for resource, item in found) if objects else (),
    )


def _list_held(
    connection: Connection, parent: Mapping[str, Any], *, objects: bool
) -> Iterator[tuple[Resource, Mapping[str, Any]]]:
    resources = Resources(connection)
    metadata = parent["metadata"]
    for group_kind in sorted(members.list_kinds(parent)):
        if objects or group_kind.partition(".")[0] in KINDS:
            resource = members.find_resource(connection, resources, group_kind)
            if resource is not None:
                identifier = applyset.compute_set_id(metadata["name"], metadata["namespace"])
                yield from members.list_members(connection, [resource], metadata["namespace"], identifier)


def _build_workload_status(live: Mapping[str, Any], reasons: Reasons) -> WorkloadStatus:
    running, wanted = count_replicas(live)
    is_ready = is_workload_ready(live)
    spec = live.get("spec") or {}
    template = spec.get("template") or (spec.get("leaderWorkerTemplate") or {}).get("workerTemplate") or {}
    containers = (template.get("spec") or {}).get("containers") or [{}]
    return WorkloadStatus(
        kind=str(live["kind"]),
        name=str(live["metadata"]["name"]),
        service=str((live["metadata"].get("annotations") or {}).get("dynamo/service", "")),
        image=str(containers[0].get("image", "")),
        ready=running,
        wanted=wanted,
        state=READY if is_ready else FAILED if has_failed(live) else WAITING,
        reason="" if is_ready else reasons.find_reason(live),
    )
