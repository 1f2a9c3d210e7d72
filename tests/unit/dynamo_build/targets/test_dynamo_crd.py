"""The target `dynamo-crd`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dynamo.sdk.graph import ServiceGraph
from dynamo_build.errors import DeployError
from dynamo_build.model.deployment import Deployment
from dynamo_build.seams import Surroundings
from dynamo_build.targets.dynamo_crd import DynamoCrdTarget
from support.deployments import deployment, disaggregated_graph, hello_graph


def rendered(made: Deployment) -> dict[str, Any]:
    found = DynamoCrdTarget(Surroundings()).render(made)
    return {item.document["kind"]: dict(item.document) for item in found.items}


def test_components_with_their_types() -> None:
    """The graph's roles become the operator's; each pod has a container `main` with an image."""
    graph = rendered(deployment(disaggregated_graph(), name="llm"))["DynamoGraphDeployment"]
    components = {item["name"]: item for item in graph["spec"]["components"]}
    assert graph["apiVersion"] == "nvidia.com/v1beta1"
    assert {name: item["type"] for name, item in components.items()} == {
        "prefill-worker": "prefill",
        "vllm-worker": "decode",
        "router": "worker",
        "processor": "worker",
        "frontend": "frontend",
    }
    worker = components["vllm-worker"]
    (container,) = worker["podTemplate"]["spec"]["containers"]
    assert container["name"] == "main" and "@sha256:" in container["image"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert components["processor"]["replicas"] == 3


def test_shared_memory_is_the_operators() -> None:
    """Its field in place of a volume of ours; "0" turns it off."""
    graph = rendered(deployment(disaggregated_graph(), name="llm"))["DynamoGraphDeployment"]
    components = {item["name"]: item for item in graph["spec"]["components"]}
    assert components["vllm-worker"]["sharedMemorySize"] == "8192Mi"
    assert components["router"]["sharedMemorySize"] == "0"
    assert "shm" not in str(components["vllm-worker"]["podTemplate"])


def test_the_operator_makes_the_workloads() -> None:
    """Beside the resource there is only what its pods refer to."""
    kinds = set(rendered(deployment(hello_graph())))
    assert kinds == {"ServiceAccount", "ConfigMap", "Service", "StatefulSet", "DynamoGraphDeployment"}
    assert set(rendered(deployment(hello_graph(), nats="nats://a:1"))) == {
        "ServiceAccount",
        "ConfigMap",
        "DynamoGraphDeployment",
    }


def test_too_many_components() -> None:
    """The resource holds 25."""
    base = hello_graph().services[0]
    services = tuple(replace(base, name=f"S{number}") for number in range(26))
    with pytest.raises(DeployError, match="holds 25 at most"):
        rendered(deployment(ServiceGraph(target="a:b", entry="S0", services=services)))
