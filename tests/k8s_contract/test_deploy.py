"""Our own apply against the server: order, idempotence, prune, secrets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dynamo_build.deploy.targets.k8s import KubernetesTarget
from dynamo_build.errors import DeployError
from dynamo_build.events import Event
from dynamo_build.model.deployment import Deployment
from dynamo_build.seams import ApplyOptions, Surroundings
from support.deployments import deployment, hello_graph


def deploy(server: Any, made: Deployment, said: list[Event] | None = None, **options: Any) -> str:
    around = Surroundings(
        environment={"KUBECONFIG": str(server.kubeconfig)}, applying=ApplyOptions(**options), cache=Path("/nowhere")
    )
    target = KubernetesTarget(around)
    return target.apply(target.render(made), (said if said is not None else []).append)


def names(server: Any, path: str) -> list[str]:
    return [item["metadata"]["name"] for item in server.connection.list_items(path.format(server.namespace))]


def test_a_second_apply_changes_nothing(server: Any) -> None:
    """And says so."""
    made = deployment(hello_graph(), namespace=server.namespace)
    assert deploy(server, made) == "hello-world"
    said: list[Event] = []
    deploy(server, made, said)
    assert "14 unchanged" in str(said[-1])


def test_prune_removes_what_is_gone_and_keeps_claims(server: Any) -> None:
    """A service that left the graph leaves the cluster; a claim stays until asked."""
    made = deployment(hello_graph(), namespace=server.namespace, options={"model-cache-size": "1Gi"})
    deploy(server, made)
    smaller = replace(made, workloads=made.workloads[1:], options={})
    deploy(server, smaller)
    assert "hello-world-backend" not in names(server, "/apis/apps/v1/namespaces/{}/deployments")
    assert "hello-world-models" in names(server, "/api/v1/namespaces/{}/persistentvolumeclaims")


def test_two_deployments_in_one_namespace(server: Any) -> None:
    """Neither touches the other's."""
    deploy(server, deployment(hello_graph(), name="first", namespace=server.namespace))
    deploy(server, deployment(hello_graph(), name="second", namespace=server.namespace))
    smaller = deployment(hello_graph(), name="second", namespace=server.namespace, nats="nats://a:4222")
    deploy(server, smaller)
    found = names(server, "/apis/apps/v1/namespaces/{}/statefulsets")
    assert found == ["first-nats"]


def test_the_token_is_made_once_and_never_said(server: Any) -> None:
    """An existing Secret stays as it is, and no event holds its value."""
    said: list[Event] = []
    made = deployment(hello_graph(), namespace=server.namespace)
    deploy(server, made, said)
    path = f"/api/v1/namespaces/{server.namespace}/secrets/hello-world-transport"
    first = server.connection.get(path)["data"]["token"]
    deploy(server, made, said)
    assert server.connection.get(path)["data"]["token"] == first
    import base64

    assert base64.b64decode(first).decode() not in str(said)


def test_hand_edits_are_conflicts_until_forced(server: Any) -> None:
    """Another manager's field is left alone, or taken by --force."""
    made = deployment(hello_graph(), namespace=server.namespace)
    deploy(server, made)
    path = f"/apis/apps/v1/namespaces/{server.namespace}/deployments/hello-world-backend"
    live = server.connection.get(path)
    edit = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "hello-world-backend", "namespace": server.namespace},
        "spec": {"selector": live["spec"]["selector"], "replicas": 5,
                 "template": {"metadata": {"labels": live["spec"]["template"]["metadata"]["labels"]}}},
    }  # fmt: skip
    assert server.apply(edit, manager="hand", force="true").status == 200
    with pytest.raises(DeployError, match="conflict"):
        deploy(server, made)
    deploy(server, made, force=True)
    assert server.connection.get(path)["spec"]["replicas"] == 1


def test_a_namespace_that_is_not_there(server: Any) -> None:
    """One line, with what to do."""
    with pytest.raises(DeployError, match='namespaces "nowhere-at-all" not found') as caught:
        deploy(server, deployment(hello_graph(), namespace="nowhere-at-all"))
    assert caught.value.hints


def test_an_autoscaler_takes_over_what_runs(server: Any) -> None:
    """Replicas that run stay when the manifests no longer name them; other managers own them from then on."""
    made = deployment(
        hello_graph(),
        namespace=server.namespace,
        options={"overrides": {"Backend": {"Deployment": {"spec": {"replicas": 4}}}}},
    )
    deploy(server, made)
    path = f"/apis/apps/v1/namespaces/{server.namespace}/deployments/hello-world-backend"
    assert server.connection.get(path)["spec"]["replicas"] == 4
    scaling = {"Backend": {"minimum": 2, "maximum": 6}}
    scaled = deployment(hello_graph(), namespace=server.namespace, options={"autoscaling": scaling})
    deploy(server, scaled)
    assert server.connection.get(path)["spec"]["replicas"] == 4
    said: list[Event] = []
    deploy(server, scaled, said)
    assert "16 unchanged" in str(said[-1])
