"""Deployments whose workloads are objects of operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dynamo_build.deploy.cluster import alter, members, status
from dynamo_build.deploy.cluster.api_client import Connection
from dynamo_build.deploy.cluster.apply import apply_manifests
from dynamo_build.deploy.targets.dynamo_crd import DynamoCrdTarget
from dynamo_build.deploy.targets.k8s import KubernetesTarget
from dynamo_build.errors import DeployError
from dynamo_build.model.deployment import Deployment
from dynamo_build.seams import ApplyOptions, Surroundings
from support.cluster import Cluster
from support.deployments import deployment, hello_graph, multi_node_graph

GRAPHS = ("nvidia.com/v1beta1", "dynamographdeployments", "DynamoGraphDeployment")
GROUPS = ("leaderworkerset.x-k8s.io/v1", "leaderworkersets", "LeaderWorkerSet")


def deploy(connection: Connection, target: Any, made: Deployment, **options: Any) -> None:
    apply_manifests(
        target.render(made),
        Surroundings(applying=ApplyOptions(**options), cache=Path("/nowhere")),
        lambda event: None,
        connection,
    )


def seen(connection: Connection, name: str) -> status.DeploymentStatus:
    return status.read_status(connection, members.find_parent(connection, name, "demo"))


def test_a_cluster_without_the_operator(double: Cluster, connection: Connection) -> None:
    """One line, before anything is applied."""
    with pytest.raises(DeployError, match=r"does not serve DynamoGraphDeployment in nvidia\.com/v1beta1"):
        deploy(connection, DynamoCrdTarget(Surroundings()), deployment(hello_graph()))
    assert double.writes() == []


def test_the_operators_status(double: Cluster, connection: Connection) -> None:
    """Waiting, ready and failed are what its conditions say; scaling and restarting go through its fields."""
    double.serve(*GRAPHS)
    deploy(connection, DynamoCrdTarget(Surroundings()), deployment(hello_graph()))
    live = double.get("dynamographdeployments", "hello-world")
    assert seen(connection, "hello-world").state == "waiting"
    reason = {"type": "Ready", "status": "False", "reason": "InsufficientCapacity", "message": "no GPU is left"}
    live["status"] = {"state": "pending", "conditions": [reason]}
    double.script("hello-world-nats")
    found = {one.kind: one for one in seen(connection, "hello-world").workloads}
    assert found["DynamoGraphDeployment"].reason == "InsufficientCapacity: no GPU is left"
    live["status"] = {"state": "failed"}
    assert seen(connection, "hello-world").state == "failed"
    live["status"] = {"state": "successful", "conditions": [{"type": "Ready", "status": "True"}]}
    deploy(connection, DynamoCrdTarget(Surroundings()), deployment(hello_graph()), wait=5.0)
    parent = members.find_parent(connection, "hello-world", "demo")
    assert alter.restart_workloads(connection, parent, ()) == ("DynamoGraphDeployment/hello-world",)
    assert double.get("dynamographdeployments", "hello-world")["spec"]["restart"]["id"]
    manifests = alter.scale_manifests(alter.revision.read_manifests(connection, parent), {"backend": 3})
    apply_manifests(manifests, Surroundings(cache=Path("/nowhere")), lambda event: None, connection)
    components = double.get("dynamographdeployments", "hello-world")["spec"]["components"]
    assert [item["replicas"] for item in components if item["name"] == "backend"] == [3]


def test_groups_of_pods(double: Cluster, connection: Connection) -> None:
    """A LeaderWorkerSet is waited for as any workload."""
    double.serve(*GROUPS)
    made = deployment(multi_node_graph(), name="large")
    target = KubernetesTarget(Surroundings())
    with pytest.raises(DeployError, match=r"LeaderWorkerSet/large-worker: 0 of 1 replicas are ready"):
        deploy(connection, target, made, wait=0.2)
    live = double.get("leaderworkersets", "large-worker")
    live["status"] = {"readyReplicas": 1, "updatedReplicas": 1, "replicas": 1}
    deploy(connection, target, made, wait=5.0)
    parent = members.find_parent(connection, "large", "demo")
    assert "LeaderWorkerSet/large-worker" in alter.restart_workloads(connection, parent, ("Worker",))
    template = double.get("leaderworkersets", "large-worker")["spec"]["leaderWorkerTemplate"]["workerTemplate"]
    assert template["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"]
