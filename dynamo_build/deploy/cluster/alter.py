"""Changes to a deployment that is there: go back to an earlier revision, other replica counts, start pods anew."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dynamo.sdk import codec
from dynamo_build.deploy.cluster import applyset, members, revision
from dynamo_build.deploy.cluster.answer import build_answer_error
from dynamo_build.deploy.cluster.api_client import Connection
from dynamo_build.deploy.cluster.readiness import KINDS
from dynamo_build.deploy.cluster.resource import Resource, Resources
from dynamo_build.errors import DeployError, UsageError
from dynamo_build.model.deployment import Manifests

#: Not the manager of an apply: what it sets stays when the deployment is applied again.
_RESTARTER = "dynamo-restart"
_MERGE_PATCH = "application/merge-patch+json"


def find_earlier_revision(connection: Connection, parent: Mapping[str, Any], number: int = 0) -> tuple[int, Manifests]:
    """A revision to go back to with its number: that one, or (0) the one before the current. Raises DeployError."""
    if not number:
        found = revision.list_revisions(connection, parent)
        now = next((item for item in found if item.current), None)
        before = [item for item in found if now is None or (item.number < now.number and item.digest != now.digest)]
        if not before:
            name, namespace = parent["metadata"]["name"], parent["metadata"]["namespace"]
            hint = f"See `dynamo deployment history {name} -n {namespace}`."
            raise DeployError(f"{name} has no earlier revision to go back to", [hint])
        number = before[0].number
    return number, revision.read_manifests(connection, parent, number)


def scale_manifests(manifests: Manifests, replicas: Mapping[str, int]) -> Manifests:
    """The manifests with other numbers of replicas, by service. Raises UsageError, also where an autoscaler decides."""
    documents = [item.document for item in manifests.items]
    known = {service: document for document in documents for service in _list_services(document)}
    changed = dict(enumerate(documents))
    for service, count in replicas.items():
        matching = [name for name in known if service in (name, known[name]["metadata"]["name"])]
        if not matching:
            raise UsageError(f"there is no service `{service}`", [f"There are {', '.join(sorted(known))}."])
        index = documents.index(known[matching[0]])
        if known[matching[0]]["kind"] != "DynamoGraphDeployment" and "replicas" not in known[matching[0]]["spec"]:
            hint = "Change its bounds with `dynamo deploy --option autoscaling=…`."
            raise UsageError(f"an autoscaler decides about the replicas of {service}", [hint])
        changed[index] = _set_replicas(changed[index], matching[0], count)
    items = tuple(replace(item, document=changed[index]) for index, item in enumerate(manifests.items))
    return replace(manifests, items=items)


def restart_workloads(connection: Connection, parent: Mapping[str, Any], services: Sequence[str]) -> tuple[str, ...]:
    """Start the pods of these services (or of all, but for NATS) anew, one after the other as the strategy says.

    Gives `Kind/name` of what was touched. Raises DeployError or UsageError.
    """
    name, namespace = str(parent["metadata"]["name"]), str(parent["metadata"]["namespace"])
    resources = Resources(connection)
    kinds = [kind for kind in sorted(members.list_kinds(parent)) if kind.partition(".")[0] in KINDS]
    served = [found for kind in kinds if (found := members.find_resource(connection, resources, kind)) is not None]
    held = [
        (resource, item)
        for resource, item in members.list_members(
            connection, served, namespace, applyset.compute_set_id(name, namespace)
        )
        if resource.kind != "StatefulSet"
    ]
    known = {service: item for _, item in held for service in _list_services(item)}
    for service in services:
        if service not in known and not any(service == item["metadata"]["name"] for _, item in held):
            raise UsageError(f"there is no service `{service}`", [f"There are {', '.join(sorted(known))}."])
    touched = []
    for resource, item in held:
        own = {*_list_services(item), str(item["metadata"]["name"])}
        if services and not own & set(services):
            continue
        _restart_workload(connection, resource, item, namespace)
        touched.append(f"{resource.kind}/{item['metadata']['name']}")
    return tuple(touched)


def _restart_workload(connection: Connection, resource: Resource, item: Mapping[str, Any], namespace: str) -> None:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    template = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": now}}}
    spec: dict[str, Any] = {"template": template}
    if resource.kind == "DynamoGraphDeployment":
        spec = {"restart": {"id": now}}
    elif resource.kind == "LeaderWorkerSet":
        spec = {"leaderWorkerTemplate": {"workerTemplate": template}}
    own = str(item["metadata"]["name"])
    answer = connection.request(
        "PATCH",
        resource.build_path(own, namespace),
        query={"fieldManager": _RESTARTER},
        body={"spec": spec},
        kind=_MERGE_PATCH,
    )
    if not answer.is_ok:
        raise build_answer_error(answer, f"{resource.kind}/{own}")


def _list_services(document: Mapping[str, Any]) -> tuple[str, ...]:
    if document["kind"] == "DynamoGraphDeployment":
        return tuple(str(component["name"]) for component in document["spec"]["components"])
    if document["kind"] not in KINDS:
        return ()
    service = (document["metadata"].get("annotations") or {}).get("dynamo/service")
    return (str(service),) if service else ()


def _set_replicas(document: Mapping[str, Any], service: str, count: int) -> dict[str, Any]:
    spec = dict(document["spec"])
    if document["kind"] == "DynamoGraphDeployment":
        spec["components"] = [
            {**component, "replicas": count} if component["name"] == service else component
            for component in spec["components"]
        ]
    else:
        spec["replicas"] = count
    return {**codec.to_plain(document), "spec": spec}
