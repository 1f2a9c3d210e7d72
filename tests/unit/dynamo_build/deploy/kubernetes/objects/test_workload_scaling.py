"""KEDA in place of a HorizontalPodAutoscaler, HTTPRoute in place of an Ingress."""

from __future__ import annotations

from typing import Any

import pytest

from dynamo_build.deploy.cluster.strict_check import check_documents
from dynamo_build.deploy.kubernetes.objects.graph import build_objects
from dynamo_build.errors import DeployError
from support.deployments import deployment, hello_graph

KEDA = {"minimum": 0, "maximum": 4, "query": "sum(busy)", "threshold": "2", "prometheus": "http://prometheus:9090"}


def made(**options: Any) -> dict[str, dict[str, Any]]:
    found = build_objects(deployment(hello_graph(), options=options))
    return {f"{item.document['kind']}/{item.document['metadata']['name']}": dict(item.document) for item in found}


def test_scaling_by_a_figure() -> None:
    """The workload names no replicas, and may go down to none."""
    found = made(autoscaling={"Backend": KEDA})
    spec = found["ScaledObject/hello-world-backend"]["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "hello-world-backend"}
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, 4)
    assert spec["triggers"][0]["metadata"]["query"] == "sum(busy)"
    assert "replicas" not in found["Deployment/hello-world-backend"]["spec"]
    assert "HorizontalPodAutoscaler/hello-world-backend" not in found


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ({"query": "a"}, "has no `threshold`"),
        ({"minimum": 0}, "is 0 to 2 replicas"),
        ({"minimum": 3, "maximum": 2}, "is 3 to 2 replicas"),
    ],
)
def test_what_does_not_go_together(scaling: dict[str, Any], message: str) -> None:
    """Said before anything is rendered."""
    with pytest.raises(DeployError, match=message):
        made(autoscaling={"Backend": scaling})


def test_a_route_through_a_gateway() -> None:
    """In place of the Ingress, to the entry's Service."""
    found = made(gateway="edge/public", ingress_host="a.example.com")
    spec = found["HTTPRoute/hello-world-frontend"]["spec"]
    assert spec["parentRefs"] == [{"name": "public", "namespace": "edge"}]
    assert spec["hostnames"] == ["a.example.com"]
    assert spec["rules"][0]["backendRefs"] == [{"name": "hello-world-frontend", "port": 8000}]
    assert not [name for name in found if name.startswith("Ingress")]
    assert "hostnames" not in made(gateway="public")["HTTPRoute/hello-world-frontend"]["spec"]
    with pytest.raises(DeployError, match="gateway excludes"):
        made(gateway="public", ingress_class="nginx")


def test_links_are_checked() -> None:
    """A route to nobody, to a port that is not there, and an autoscaler of nobody."""
    found = made(gateway="public", autoscaling={"Backend": KEDA})
    backend = found["HTTPRoute/hello-world-frontend"]["spec"]["rules"][0]["backendRefs"][0]
    scaled = found["ScaledObject/hello-world-backend"]["spec"]["scaleTargetRef"]
    for holder, key, value, message in (
        (backend, "port", 1, "has no such port"),
        (backend, "name", "absent", "no Service `absent`"),
        (scaled, "name", "absent", "no Deployment `absent`"),
    ):
        holder[key] = value
        findings = [str(item) for item in check_documents(list(found.values()), "demo") if not item.warning]
        assert any(message in finding for finding in findings), findings
