"""Wait until every workload of a deployment runs what was applied, and say of each why it does not.

Source: Kubernetes "Deployment status": observedGeneration first, then the counts; the reasons stand in conditions,
in the states of containers, and in events.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dynamo_build.cluster.connection import Connection
from dynamo_build.errors import DeployError
from dynamo_build.events import Finished, Listener, Noted, Started
from dynamo_build.model.deployment import Manifests

_KINDS = {"Deployment": "/apis/apps/v1", "StatefulSet": "/apis/apps/v1"}
#: States that no waiting heals.
_HOPELESS = frozenset({"InvalidImageName", "CreateContainerConfigError", "ErrImageNeverPull", "RunContainerError"})
_BAD_STATES = _HOPELESS | {"ImagePullBackOff", "ErrImagePull", "CrashLoopBackOff", "CreateContainerError"}
_INTERVAL = 1.0


def until_ready(
    connection: Connection,
    manifests: Manifests,
    seconds: float,
    on: Listener,
    *,
    interval: float = _INTERVAL,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return when all workloads are ready. Raises DeployError with the reason of each that is not."""
    waiting = [
        (str(item.document["kind"]), str(item.document["metadata"]["name"]))
        for item in manifests.items
        if item.document["kind"] in _KINDS
    ]
    on(Started(what=f"waiting for {len(waiting)} workloads"))
    deadline = time.monotonic() + seconds
    said: dict[tuple[str, str], str] = {}
    while True:
        reasons: dict[tuple[str, str], str] = {}
        failed = False
        for kind, name in waiting:
            live = connection.get(f"{_KINDS[kind]}/namespaces/{manifests.namespace}/{kind.lower()}s/{name}")
            if live is not None and ready(live):
                continue
            reasons[kind, name] = why_not(connection, live) if live is not None else "it is gone"
            failed = failed or (live is not None and hopeless(live))
        for workload, reason in reasons.items():
            if said.get(workload) != reason:
                on(Noted(text=f"{workload[0]}/{workload[1]}: {reason}"))
        for kind, name in waiting:
            if (kind, name) not in reasons:
                on(Finished(what=f"{kind}/{name}", detail="ready"))
        waiting, said = list(reasons), reasons
        if not waiting:
            return
        if failed or time.monotonic() >= deadline:
            how = "failed" if failed else f"was not ready after {seconds:g} s"
            text = "; ".join(f"{kind}/{name}: {reason}" for (kind, name), reason in reasons.items())
            hints = ["Earlier pods keep serving; see `kubectl describe pod` for more."]
            raise DeployError(f"the deployment {manifests.deployment} {how}: {text}", hints)
        sleep(interval)


def ready(live: Mapping[str, Any]) -> bool:
    """Whether the controller has seen this generation and all replicas of it are available and alone."""
    status, spec = live.get("status") or {}, live.get("spec") or {}
    if status.get("observedGeneration", 0) < live["metadata"].get("generation", 0):
        return False
    wanted = spec.get("replicas", 1)
    if live.get("kind") == "StatefulSet":
        return bool(status.get("readyReplicas", 0) >= wanted and status.get("updatedReplicas", 0) >= wanted)
    return bool(
        status.get("updatedReplicas", 0) >= wanted
        and status.get("availableReplicas", 0) >= wanted
        and status.get("replicas", 0) <= status.get("updatedReplicas", 0)
    )


def hopeless(live: Mapping[str, Any]) -> bool:
    """Whether the controller gave up."""
    return any(
        condition.get("reason") == "ProgressDeadlineExceeded" and condition.get("status") == "False"
        for condition in (live.get("status") or {}).get("conditions") or ()
    )


def why_not(connection: Connection, live: Mapping[str, Any]) -> str:
    """One line: the first reason found in conditions, containers, events, else the counts."""
    status = live.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return _line(condition)
    namespace = live["metadata"]["namespace"]
    labels = ((live.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    pods = list(connection.items(f"/api/v1/namespaces/{namespace}/pods", selector))
    for pod in pods:
        if reason := next(_pod_reasons(pod), ""):
            return reason
    for pod in pods:
        if (pod.get("status") or {}).get("phase") == "Pending" and (event := _event(connection, namespace, pod)):
            return event
    for condition in status.get("conditions") or ():
        if condition.get("reason") == "ProgressDeadlineExceeded":
            return _line(condition)
    wanted = (live.get("spec") or {}).get("replicas", 1)
    return f"{status.get('readyReplicas', 0)} of {wanted} replicas are ready"


def _pod_reasons(pod: Mapping[str, Any]) -> Iterator[str]:
    status = pod.get("status") or {}
    for field in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(field) or ():
            waiting = (container.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") in _BAD_STATES:
                ended = (container.get("lastState") or {}).get("terminated") or {}
                code = f" (exit code {ended['exitCode']}, {ended.get('reason', '')})" if "exitCode" in ended else ""
                yield _line(waiting) + code
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            yield _line(condition)


def _event(connection: Connection, namespace: str, pod: Mapping[str, Any]) -> str:
    query = {"fieldSelector": f"involvedObject.name={pod['metadata']['name']},type=Warning"}
    listing = connection.get(f"/api/v1/namespaces/{namespace}/events", query=query) or {}
    events = listing.get("items") or ()
    return _line(events[-1]) if events else ""


def _line(found: Mapping[str, Any]) -> str:
    text = " ".join(str(found.get("message", "")).split())
    return f"{found.get('reason', '')}: {text}" if text else str(found.get("reason", ""))
