"""Waiting, and the reasons why not."""

from __future__ import annotations

from typing import Any

import pytest

from dynamo_build.deploy.cluster.api_client import APPLY_PATCH, Connection
from dynamo_build.deploy.cluster.readiness import is_workload_ready
from dynamo_build.deploy.cluster.wait import wait_until_ready
from dynamo_build.deploy.kubernetes.objects.graph import build_objects
from dynamo_build.errors import DeployError
from dynamo_build.events import Event
from dynamo_build.model.deployment import Manifests
from support.cluster import Cluster
from support.deployments import deployment, hello_graph


@pytest.fixture
def applied(connection: Connection) -> Manifests:
    """Hello world's workloads on the double."""
    made = deployment(hello_graph())
    items = tuple(item for item in build_objects(made) if item.document["kind"] in ("Deployment", "StatefulSet"))
    for item in items:
        document: Any = item.document
        path = f"/apis/apps/v1/namespaces/demo/{document['kind'].lower()}s/{document['metadata']['name']}"
        answer = connection.request("PATCH", path, query={"fieldManager": "x"}, body=document, kind=APPLY_PATCH)
        assert answer.is_ok, answer.message
    return Manifests(deployment="hello-world", namespace="demo", target="k8s", items=items)


def wait(connection: Connection, manifests: Manifests, seconds: float = 0.3) -> list[Event]:
    said: list[Event] = []
    wait_until_ready(connection, manifests, seconds, said.append, interval=0.02)
    return said


def test_ready_in_time(double: Cluster, connection: Connection, applied: Manifests) -> None:
    """A slow one is waited for, and each is told when it is ready."""
    double.script("hello-world-middle", ready_after=1)
    said = wait(connection, applied, 30)
    assert "Deployment/hello-world-middle" in str(said)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            {"waiting": "ImagePullBackOff", "message": "Back-off pulling image"},
            "ImagePullBackOff: Back-off pulling image",
        ),
        ({"waiting": "CrashLoopBackOff", "message": "back-off 10s"}, "CrashLoopBackOff"),
        ({"scheduling": "0/3 nodes: Insufficient nvidia.com/gpu"}, "Insufficient nvidia.com/gpu"),
        ({"refused": 'violates PodSecurity "restricted"'}, "violates PodSecurity"),
        ({"event": "pod has unbound immediate PersistentVolumeClaims"}, "unbound immediate"),
        ({"deadline_exceeded": True}, "ProgressDeadlineExceeded"),
        ({"ready_after": 99}, "0 of 1 replicas are ready"),
    ],
)
def test_the_reason_is_told(
    double: Cluster, connection: Connection, applied: Manifests, script: dict[str, Any], reason: str
) -> None:
    """From conditions, containers, events, or the counts."""
    double.script("hello-world-middle", **script)
    with pytest.raises(DeployError, match="Deployment/hello-world-middle: ") as caught:
        wait(connection, applied)
    assert reason in caught.value.message
    assert "backend" not in caught.value.message


def test_a_controller_that_gave_up_ends_the_wait(double: Cluster, connection: Connection, applied: Manifests) -> None:
    """Without using up the time."""
    double.script("hello-world-middle", deadline_exceeded=True)
    with pytest.raises(DeployError, match="failed: "):
        wait(connection, applied, 600)


def test_an_old_status_is_not_believed() -> None:
    """Counts of an earlier generation say nothing of this one."""
    status = {"observedGeneration": 1, "updatedReplicas": 1, "availableReplicas": 1, "replicas": 1}
    live = {"kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": 1}, "status": status}
    assert not is_workload_ready(live)
    assert is_workload_ready({**live, "metadata": {"generation": 1}})


def test_a_workload_that_went_away(double: Cluster, connection: Connection, applied: Manifests) -> None:
    """Is told as such."""
    double.store.delete(("deployments", "demo", "hello-world-middle"))
    with pytest.raises(DeployError, match="it is gone"):
        wait(connection, applied)
