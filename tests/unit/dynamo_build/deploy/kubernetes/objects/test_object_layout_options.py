"""The options of the Kubernetes targets."""

from __future__ import annotations

import pytest

from dynamo_build.deploy.kubernetes.objects.object_layout import kubernetes_options
from dynamo_build.errors import DeployError
from support.deployments import deployment, hello_graph


def test_text_becomes_the_type_of_the_field() -> None:
    """Flags give text; booleans, lists and maps are read from it."""
    given = {
        "create-namespace": "true",
        "image-pull-secrets": "a,b",
        "node-selector": '{"disk": "fast"}',
        "autoscaling": '{"Middle": {"maximum": 4}}',
        "nats_image": "1234",
    }
    options = kubernetes_options(deployment(hello_graph(), options=given))
    assert options.create_namespace is True
    assert options.image_pull_secrets == ("a", "b")
    assert options.node_selector == {"disk": "fast"}
    assert options.autoscaling["Middle"].maximum == 4
    assert options.nats_image == "1234"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"nodes": "3"}, "has no option `nodes`"),
        ({"create-namespace": "maybe"}, "expected bool"),
        ({"egress": "some"}, "egress is `some`"),
        ({"autoscaling": {"Nobody": {}}}, "names `Nobody`"),
        ({"overrides": {"Nobody": {}}}, "names `Nobody`"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, object], message: str) -> None:
    """Unknown options, wrong types and unknown services, each in one line."""
    with pytest.raises(DeployError, match=message):
        kubernetes_options(deployment(hello_graph(), options=given))


def test_times_by_service() -> None:
    """The budget for starting and the time for draining reach the pod; nonsense is refused."""
    from dynamo_build.deploy.kubernetes.objects.graph import build_objects

    made = deployment(hello_graph(), options={"startup": {"Backend": 7200}, "drain": {"Backend": 300}})
    found = {
        item.document["metadata"]["name"]: item.document
        for item in build_objects(made)
        if item.document["kind"] == "Deployment"
    }
    spec = found["hello-world-backend"]["spec"]
    pod = spec["template"]["spec"]
    assert pod["containers"][0]["startupProbe"]["failureThreshold"] == 720
    assert spec["progressDeadlineSeconds"] > 7200
    assert pod["terminationGracePeriodSeconds"] > 300
    assert found["hello-world-middle"]["spec"]["progressDeadlineSeconds"] < 7200
    for options in ({"startup": {"Backend": 0}}, {"drain": {"Backend": 10**9}}, {"startup": {"Nobody": 1}}):
        with pytest.raises(DeployError):
            build_objects(deployment(hello_graph(), options=options))
