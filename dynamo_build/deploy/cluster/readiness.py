"""Readiness of a workload: whether it runs the applied version, and the reason if it does not.

Source: Kubernetes "Deployment status": observedGeneration first, then the counts; the reasons stand in conditions,
in the states of containers, and in events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from dynamo_build.deploy.cluster.api_client import Connection

#: What runs pods of ours.
KINDS = ("Deployment", "StatefulSet", "LeaderWorkerSet", "DynamoGraphDeployment")
#: States that no waiting heals.
_HOPELESS = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_BAD_STATES = _HOPELESS | {
    "ImagePullBackOff",
    "ErrImagePull",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
}
_LAST_LINES = "5"
_LONGEST_LOG = 600


def count_replicas(live: Mapping[str, Any]) -> tuple[int, int]:
    """Replicas that are ready and that run what was applied, and replicas wanted."""
    status, spec = live.get("status") or {}, live.get("spec") or {}
    if live.get("kind") == "DynamoGraphDeployment":
        parts = [item for item in (status.get("components") or {}).values() if isinstance(item, Mapping)]
        wanted = sum(int(item.get("replicas", 1)) for item in spec.get("components") or ())
        return sum(int(item.get("readyReplicas", 0)) for item in parts), wanted
    if "observedGeneration" in status and status["observedGeneration"] < live["metadata"].get("generation", 0):
        return 0, int(spec.get("replicas", 1))
    updated, wanted = int(status.get("updatedReplicas", 0)), int(spec.get("replicas", 1))
    if live.get("kind") != "Deployment":
        return min(int(status.get("readyReplicas", 0)), updated), wanted
    earlier = int(status.get("replicas", 0)) - updated
    return min(max(0, int(status.get("availableReplicas", 0)) - earlier), updated), wanted


def is_workload_ready(live: Mapping[str, Any]) -> bool:
    """Whether the controller has seen this generation and all replicas of it are available and alone."""
    status = live.get("status") or {}
    kind, generation = live.get("kind"), live["metadata"].get("generation", 0)
    if kind == "DynamoGraphDeployment":
        seen = status.get("observedGeneration", generation) >= generation
        return seen and _find_condition(status, "Ready").get("status") == "True"
    if status.get("observedGeneration", generation if kind == "LeaderWorkerSet" else 0) < generation:
        return False
    running, wanted = count_replicas(live)
    alone = kind != "Deployment" or status.get("replicas", 0) <= status.get("updatedReplicas", 0)
    return bool(running >= wanted and alone)


def has_failed(live: Mapping[str, Any]) -> bool:
    """Whether the controller gave up."""
    status = live.get("status") or {}
    if live.get("kind") == "DynamoGraphDeployment":
        return bool(status.get("state") == "failed")
    found = _find_condition(status, "Progressing")
    return found.get("reason") == "ProgressDeadlineExceeded" and found.get("status") == "False"


class Reasons:
    """Why workloads of one deployment are not ready: its pods and events are asked for once, and only when needed."""

    def __init__(self, connection: Connection, namespace: str, instance: str) -> None:
        self._connection = connection
        self._namespace = namespace
        self._instance = instance

    def find_reason(self, live: Mapping[str, Any]) -> str:
        """One line: the first reason found in conditions, containers, events, else the counts."""
        status = live.get("status") or {}
        failure = _find_condition(status, "ReplicaFailure")
        if failure.get("status") == "True":
            return _format_condition(failure)
        pods = [pod for pod in self._pods if _owns_pod(live, pod)]
        for pod in pods:
            if reason := next(self._list_pod_reasons(pod), ""):
                return reason
        for item in (*pods, live):
            if not _is_ready(item) and (event := self._events.get(str(item["metadata"]["name"]))):
                return _format_condition(event)
        for kind in ("Progressing", "Ready"):
            found = _find_condition(status, kind)
            if found.get("status") == "False" and found.get("reason"):
                return _format_condition(found)
        running, wanted = count_replicas(live)
        return f"{running} of {wanted} replicas are ready"

    @cached_property
    def _pods(self) -> list[Mapping[str, Any]]:
        path = f"/api/v1/namespaces/{self._namespace}/pods"
        found = list(self._connection.list_items(path, f"app.kubernetes.io/instance={self._instance}"))
        return sorted(found, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), reverse=True)

    @cached_property
    def _events(self) -> Mapping[str, Mapping[str, Any]]:
        path = f"/api/v1/namespaces/{self._namespace}/events"
        found = self._connection.list_items(path, fields="type=Warning")
        return {str((event.get("involvedObject") or {}).get("name")): event for event in found}

    def _list_pod_reasons(self, pod: Mapping[str, Any]) -> Iterator[str]:
        status = pod.get("status") or {}
        for field in ("initContainerStatuses", "containerStatuses"):
            for container in status.get(field) or ():
                waiting = (container.get("state") or {}).get("waiting") or {}
                if waiting.get("reason") in _BAD_STATES:
                    ended = (container.get("lastState") or {}).get("terminated") or {}
                    yield _format_condition(waiting) + self._describe_exit(pod, str(container.get("name", "")), ended)
        found = _find_condition(status, "PodScheduled")
        if found.get("status") == "False":
            yield _format_condition(found)

    def _describe_exit(self, pod: Mapping[str, Any], container: str, ended: Mapping[str, Any]) -> str:
        if "exitCode" not in ended:
            return ""
        path = f"/api/v1/namespaces/{self._namespace}/pods/{pod['metadata']['name']}/log"
        query = {"container": container, "previous": "true", "tailLines": _LAST_LINES}
        answer = self._connection.request("GET", path, query=query)
        lines = [line.strip() for line in answer.text.splitlines() if line.strip()] if answer.is_ok else []
        said = f", its last lines: {' | '.join(lines)[-_LONGEST_LOG:]}" if lines else ""
        why = f", {ended['reason']}" if ended.get("reason") else ""
        return f" (exit code {ended['exitCode']}{why}{said})"


def _owns_pod(live: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    labels = pod["metadata"].get("labels") or {}
    kind, name = live.get("kind"), live["metadata"]["name"]
    if kind == "DynamoGraphDeployment":
        return labels.get("app.kubernetes.io/name") != "nats"
    if kind == "LeaderWorkerSet":
        return bool(labels.get("leaderworkerset.sigs.k8s.io/name") == name)
    wanted = ((live.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def _is_ready(item: Mapping[str, Any]) -> bool:
    return _find_condition(item.get("status") or {}, "Ready").get("status") == "True"


def _find_condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    for found in status.get("conditions") or ():
        if found.get("type") == kind:
            return dict(found)
    return {}


def _format_condition(found: Mapping[str, Any]) -> str:
    text = " ".join(str(found.get("message", "")).split())
    return f"{found.get('reason', '')}: {text}" if text else str(found.get("reason", ""))
