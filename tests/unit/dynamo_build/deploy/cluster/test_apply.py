"""Applying against the double: order, faults in the middle, and how often it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dynamo_build.deploy.cluster.api_client import Connection
from dynamo_build.deploy.cluster.apply import apply_manifests
from dynamo_build.deploy.kubernetes.objects.graph import build_objects
from dynamo_build.errors import DeployError
from dynamo_build.events import Event, Warned
from dynamo_build.model.deployment import Deployment, Manifests
from dynamo_build.seams import ApplyOptions, Surroundings
from support.cluster import Cluster
from support.deployments import deployment, hello_graph


def run(connection: Connection, made: Deployment, **options: Any) -> list[Event]:
    said: list[Event] = []
    manifests = Manifests(deployment=made.name, namespace=made.namespace, target="k8s", items=build_objects(made))
    apply_manifests(
        manifests, Surroundings(applying=ApplyOptions(**options), cache=Path("/nowhere")), said.append, connection
    )
    return said


def test_a_second_apply_writes_nothing(double: Cluster, connection: Connection) -> None:
    """One list per kind tells that all is as it should be."""
    run(connection, deployment(hello_graph()))
    double.requests.clear()
    run(connection, deployment(hello_graph()))
    assert double.writes() == []
    assert len(double.requests) < 25


def test_one_change_is_one_write(double: Cluster, connection: Connection) -> None:
    """A drifted object is put right, and it alone."""
    run(connection, deployment(hello_graph()))
    double.get("services", "hello-world-middle")["spec"]["ports"][0]["port"] = 1
    double.requests.clear()
    run(connection, deployment(hello_graph()), force=True)
    assert [path.rpartition("/")[2] for _, path in double.writes()] == ["hello-world-middle"]


def test_a_cut_in_the_middle_heals(double: Cluster, connection: Connection) -> None:
    """What an interrupted apply left is completed by the next, and still pruned."""
    double.fail("PATCH", "statefulsets", 403, body={"message": "statefulsets is forbidden"})
    with pytest.raises(DeployError, match="StatefulSet/hello-world-nats: statefulsets is forbidden"):
        run(connection, deployment(hello_graph()))
    assert double.names("deployments") == []
    run(connection, deployment(hello_graph(), nats="nats://a:1"))
    assert "hello-world-nats" not in double.names("services")
    assert len(double.names("deployments")) == 3


def test_warnings_of_the_server_are_passed_on(double: Cluster, connection: Connection) -> None:
    """Pod Security says at once what the pods will suffer."""
    double.namespace("guarded", **{"pod-security.kubernetes.io/warn": "restricted"})
    made = deployment(
        hello_graph(), namespace="guarded", options={"overrides": {"Backend": {"container": {"securityContext": None}}}}
    )
    said = run(connection, made)
    assert any(isinstance(event, Warned) and "violate PodSecurity" in event.text for event in said)


def test_a_dry_run_leaves_no_trace(double: Cluster, connection: Connection) -> None:
    """Not even the token."""
    before = set(double.store.objects)
    run(connection, deployment(hello_graph()), dry_run=True)
    assert set(double.store.objects) == before


def test_old_configurations_stay_for_a_while(double: Cluster, connection: Connection) -> None:
    """Pods of earlier revisions may start again."""
    for number in range(8):
        run(connection, deployment(hello_graph(), config={"A": {"b": number}}))
    assert len([name for name in double.names("configmaps") if "-config-" in name]) == 6


def test_a_config_map_of_somebody_else(double: Cluster, connection: Connection) -> None:
    """Is not taken over as ours."""
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hello-world", "namespace": "demo"}}
    double.store.create(("configmaps", "demo", "hello-world"), document, "x", False)
    with pytest.raises(DeployError, match="is not a deployment of ours"):
        run(connection, deployment(hello_graph()))


def test_a_namespace_of_its_own(double: Cluster, connection: Connection) -> None:
    """Made first where the options say so."""
    run(connection, deployment(hello_graph(), namespace="new", options={"create-namespace": True}))
    assert ("namespaces", "", "new") in double.store.objects
