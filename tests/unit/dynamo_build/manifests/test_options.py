"""The options of the Kubernetes targets."""

from __future__ import annotations

import pytest

from dynamo_build.errors import DeployError
from dynamo_build.manifests.options import kubernetes_options
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
        ({"nodes": "3"}, "unknown field 'nodes'"),
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
