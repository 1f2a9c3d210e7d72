"""What every deploy target of the catalogue keeps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dynamo_build import catalog
from dynamo_build.deploy.kubernetes.objects.manifest_files import render_manifests
from dynamo_build.model.deployment import SecretReference
from support.deployments import DIGEST, deployment, disaggregated_graph, hello_graph

SECRET = SecretReference(variable="HF_TOKEN", secret="hf", key="token")


@pytest.fixture(params=sorted(catalog.TARGETS))
def name(request: pytest.FixtureRequest) -> str:
    """Each target in turn."""
    return str(request.param)


def text(name: str, graph: object = None, **fields: object) -> str:
    made = deployment(graph or hello_graph(), target=name, **fields)  # type: ignore[arg-type]
    return render_manifests(catalog.find_target(name, catalog.default_surroundings()).render(made), "yaml")


def test_the_same_twice(name: str) -> None:
    """Rendering is pure, and does not rest on the order of services or settings."""
    graph = disaggregated_graph()
    made = deployment(graph, target=name, config={"A": {"x": 1, "y": 2}})
    turned = replace(made, config={"A": {"y": 2, "x": 1}})
    target = catalog.find_target(name, catalog.default_surroundings())
    assert (
        render_manifests(target.render(made), "yaml")
        == render_manifests(target.render(turned), "yaml")
        == render_manifests(target.render(made), "yaml")
    )


def test_images_by_digest(name: str) -> None:
    """Each service runs the bytes that were tested."""
    assert text(name).count(DIGEST) >= 3


def test_no_secret_is_written(name: str) -> None:
    """Neither a user's nor the transport's: only where it is."""
    found = text(name, workload={"secrets": (SECRET,)})
    assert "HF_TOKEN" in found
    assert "DYNAMO_TRANSPORT_TOKEN" in found


def test_gpus_are_asked_for(name: str) -> None:
    """In the target's own form."""
    found = text(name, disaggregated_graph())
    assert "nvidia.com/gpu" in found or 'driver: "nvidia"' in found


def test_an_existing_nats_replaces_ours(name: str) -> None:
    """The address is used and no server is made."""
    found = text(name, nats="nats://queue.example:4222")
    assert "nats://queue.example:4222" in found
    assert "jetstream" not in found
    assert "jetstream" in text(name)


def test_strings_stay_strings(name: str) -> None:
    """A value such as `1e3` or `y` is quoted."""
    found = text(name, workload={"environment": {"A": "1e3", "B": "y"}})
    assert '"1e3"' in found and '"y"' in found
