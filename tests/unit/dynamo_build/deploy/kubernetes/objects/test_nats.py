"""The deployment's own NATS."""

from __future__ import annotations

from dynamo_build.deploy.kubernetes.objects import nats
from dynamo_build.deploy.kubernetes.objects.object_layout import Layout
from support.deployments import deployment, hello_graph


def test_it_has_storage_and_asks_for_the_token() -> None:
    """JetStream on a claim; who has no token does not get in; the token is a reference."""
    options = {"nats-image": "example.com/nats@sha256:" + "1" * 64, "storage-class": "fast", "nats-storage": "2Gi"}
    found = nats.nats_stateful_set(Layout(deployment(hello_graph(), options=options)))
    container = found["spec"]["template"]["spec"]["containers"][0]
    assert container["image"].startswith("example.com/nats@")
    assert "--auth=$(NATS_TOKEN)" in container["args"]
    assert container["env"][0]["valueFrom"]["secretKeyRef"] == {"name": "hello-world-transport", "key": "token"}
    claim = found["spec"]["volumeClaimTemplates"][0]["spec"]
    assert claim["storageClassName"] == "fast"
    assert claim["resources"]["requests"]["storage"] == "2Gi"


def test_its_address_is_its_service() -> None:
    """The headless Service has the name that the workers dial."""
    layout = Layout(deployment(hello_graph()))
    service = nats.nats_service(layout)
    assert service["spec"]["clusterIP"] == "None"
    assert layout.nats_address == f"nats://{service['metadata']['name']}:4222"
