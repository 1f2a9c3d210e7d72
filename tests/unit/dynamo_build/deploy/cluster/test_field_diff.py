"""What an apply would change."""

from __future__ import annotations

from pathlib import Path

from dynamo_build.deploy.cluster.api_client import Connection
from dynamo_build.deploy.cluster.apply import apply_manifests
from dynamo_build.deploy.cluster.field_diff import diff_manifests
from dynamo_build.deploy.kubernetes.objects.graph import build_objects
from dynamo_build.model.deployment import Deployment, Manifests
from dynamo_build.seams import Surroundings
from support.cluster import Cluster
from support.deployments import deployment, hello_graph


def manifests(made: Deployment) -> Manifests:
    return Manifests(deployment=made.name, namespace=made.namespace, target="k8s", items=build_objects(made))


def test_everything_is_new(connection: Connection) -> None:
    """A plus for each object."""
    assert {line[0] for line in diff_manifests(manifests(deployment(hello_graph())), connection)} == {"+"}


def test_nothing_after_an_apply_then_one_field(double: Cluster, connection: Connection) -> None:
    """Old and new value of the field, also where its key holds dots."""
    made = manifests(deployment(hello_graph()))
    apply_manifests(made, Surroundings(cache=Path("/nowhere")), lambda event: None, connection)
    assert list(diff_manifests(made, connection)) == []
    live = double.get("deployments", "hello-world-middle")
    live["metadata"]["labels"]["app.kubernetes.io/version"] = "old"
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    lines = list(diff_manifests(made, connection))
    assert '~ Deployment/hello-world-middle metadata.labels.app.kubernetes.io/version: "old" → "1234e56"' in lines
    assert any('containers[main].image: "other" → "registry.example.com' in line for line in lines)
