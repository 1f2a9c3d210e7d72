"""The logs of a deployment's pods, all of them at once, each line with where it comes from."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dynamo_build.deploy.cluster.api_client import Connection
from dynamo_build.errors import DeployError


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a pod's log."""

    service: str
    pod: str
    text: str


def read_logs(
    connection: Connection,
    namespace: str,
    name: str,
    services: tuple[str, ...] = (),
    *,
    follow: bool = False,
    tail: int = 0,
    since: int = 0,
    previous: bool = False,
) -> Iterator[Line]:
    """The lines of the pods of these services, or of all; pod after pod, or as they come when they are followed.

    `services` are names of services or of their objects. Raises DeployError when there is no such pod, or when no log
    of them can be read.
    """
    pods = list(list_pods(connection, namespace, name, services))
    if not pods:
        which = f" of {', '.join(services)}" if services else ""
        hint = f"See `dynamo deployment status {name} -n {namespace}`."
        raise DeployError(f"the deployment {name} has no pods{which}", [hint])
    query = {"follow": "true"} if follow else {}
    query |= {"tailLines": str(tail)} if tail else {}
    query |= {"sinceSeconds": str(since)} if since else {}
    query |= {"previous": "true"} if previous else {}
    if follow:
        yield from _follow_pods(connection, pods, query)
        return
    failures: list[DeployError] = []
    for pod in pods:
        try:
            yield from _read_pod_log(connection, pod, query)
        except DeployError as error:
            failures.append(error)
    if len(failures) == len(pods):
        raise failures[0]


def list_pods(
    connection: Connection, namespace: str, name: str, services: tuple[str, ...]
) -> Iterator[Mapping[str, Any]]:
    """The pods of these services of a deployment, by the services' names or their objects'; of all without."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    wanted = {_normalize_name(service) for service in services}
    for pod in connection.list_items(path, f"app.kubernetes.io/instance={name}"):
        component = _read_component(pod)
        if not wanted or _normalize_name(component) in wanted or _normalize_name(f"{name}-{component}") in wanted:
            yield pod


def _normalize_name(text: str) -> str:
    return text.replace("-", "").replace("_", "").lower()


def _read_component(pod: Mapping[str, Any]) -> str:
    return str((pod["metadata"].get("labels") or {}).get("app.kubernetes.io/name", ""))


def _read_pod_log(connection: Connection, pod: Mapping[str, Any], query: Mapping[str, str]) -> Iterator[Line]:
    metadata = pod["metadata"]
    containers = (pod.get("spec") or {}).get("containers") or ()
    for container in containers:
        own = {**query, "container": str(container["name"])}
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/log"
        for text in connection.stream_lines(path, own):
            yield Line(service=_read_component(pod), pod=str(metadata["name"]), text=text)


def _follow_pods(connection: Connection, pods: list[Mapping[str, Any]], query: Mapping[str, str]) -> Iterator[Line]:
    """One thread per pod; a stream that is cut ends that pod's part, the last one ends it all."""
    lines: queue.Queue[Line | DeployError | None] = queue.Queue(maxsize=1000)

    def read(pod: Mapping[str, Any]) -> None:
        try:
            for line in _read_pod_log(connection, pod, query):
                lines.put(line)
        except DeployError as error:
            lines.put(error)
        lines.put(None)

    for pod in pods:
        threading.Thread(target=read, args=(pod,), daemon=True).start()
    running, failures = len(pods), list[DeployError]()
    while running:
        item = lines.get()
        if item is None:
            running -= 1
        elif isinstance(item, DeployError):
            failures.append(item)
        else:
            yield item
    if len(failures) == len(pods):
        raise failures[0]
