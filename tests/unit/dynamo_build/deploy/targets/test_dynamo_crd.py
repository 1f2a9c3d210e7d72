"""The target `dynamo-crd`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dynamo.sdk.graph import ServiceGraph
from dynamo_build.deploy.targets.dynamo_crd import DynamoCrdTarget
from dynamo_build.errors import DeployError
from dynamo_build.model.deployment import Deployment
from dynamo_build.seams import Surroundings
from support.deployments import deployment, disaggregated_graph, hello_graph, multi_node_graph


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


def test_several_nodes() -> None:
    """The operator makes the group; each node has its share of the GPUs."""
    graph = rendered(deployment(multi_node_graph(), name="large"))["DynamoGraphDeployment"]
    worker = next(item for item in graph["spec"]["components"] if item["name"] == "worker")
    assert worker["multinode"] == {"nodeCount": 2}
    assert worker["podTemplate"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "8"


def test_the_form_of_the_sdks_time() -> None:
    """v1alpha1: services as a map, resources by words, the container beside the pod."""
    made = deployment(disaggregated_graph(), name="llm", options={"crd_version": "v1alpha1"})
    graph = rendered(made)["DynamoGraphDeployment"]
    assert graph["apiVersion"] == "nvidia.com/v1alpha1"
    services = graph["spec"]["services"]
    assert list(services) == ["prefill-worker", "vllm-worker", "router", "processor", "frontend"]
    worker = services["vllm-worker"]
    assert (worker["componentType"], worker["subComponentType"]) == ("worker", "decode")
    assert worker["dynamoNamespace"] == "dynamo"
    assert worker["resources"]["limits"] == {"memory": "40Gi", "gpu": "2"}
    assert worker["sharedMemory"] == {"size": "8192Mi"}
    assert services["router"]["sharedMemory"] == {"disabled": True}
    container = worker["extraPodSpec"]["mainContainer"]
    assert "@sha256:" in container["image"] and container["args"] == ["VllmWorker"]
    assert {"env", "resources", "livenessProbe"} & container.keys() == set()
    assert "DYN_DEPLOYMENT_CONFIG" in {item["name"] for item in worker["envs"]}
    assert services["frontend"]["componentType"] == "frontend"
    with pytest.raises(DeployError, match="crd_version is `v2`"):
        rendered(deployment(hello_graph(), options={"crd_version": "v2"}))
