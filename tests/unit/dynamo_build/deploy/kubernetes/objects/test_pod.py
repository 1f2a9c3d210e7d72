"""The pod of a service."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dynamo.sdk.graph import Resources
from dynamo_build.deploy.kubernetes.objects.object_layout import Layout
from dynamo_build.deploy.kubernetes.objects.pod import pod_spec
from dynamo_build.errors import DeployError
from dynamo_build.model.deployment import SecretReference
from support.deployments import deployment, disaggregated_graph, hello_graph


def pod(service: str, *, gpu: bool = False, **fields: Any) -> dict[str, Any]:
    layout = Layout(deployment(disaggregated_graph() if gpu else hello_graph(), **fields))
    return pod_spec(layout, layout.find_workload(service))


def test_it_is_restricted() -> None:
    """Pod Security `restricted` holds, and no token of the cluster is mounted."""
    spec = pod("Backend")
    container = spec["containers"][0]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def test_gpus_are_limits_with_shared_memory_and_a_toleration() -> None:
    """A GPU service gets its devices, half its memory (8Gi at most) as /dev/shm, and a root that hooks may write."""
    spec = pod("VllmWorker", gpu=True)
    container = spec["containers"][0]
    assert container["resources"]["limits"] == {"memory": "40Gi", "nvidia.com/gpu": "2"}
    assert container["resources"]["requests"]["nvidia.com/gpu"] == "2"
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "8192Mi"}} in spec["volumes"]
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert container["securityContext"]["readOnlyRootFilesystem"] is False


def test_probes_and_the_end() -> None:
    """The start budget counts until the service is ready; the end is longer than the drain."""
    spec = pod("VllmWorker", gpu=True)
    container = spec["containers"][0]
    assert container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"] == 1800
    assert container["livenessProbe"]["httpGet"]["path"] == "/live"
    assert container["readinessProbe"]["httpGet"] == {"path": "/health", "port": "system", "scheme": "HTTP"}
    assert spec["terminationGracePeriodSeconds"] > 60


def test_secrets_are_references_and_dollars_are_literal() -> None:
    """A secret never becomes a value; a value is never expanded by the kubelet."""
    secret = SecretReference(variable="HF_TOKEN", secret="hf", key="token")
    fields = {"environment": {"A": "$(B)", "NATS_SERVER": "x"}, "secrets": (secret,)}
    environment = {item["name"]: item for item in pod("Backend", workload=fields)["containers"][0]["env"]}
    assert environment["HF_TOKEN"] == {
        "name": "HF_TOKEN",
        "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}},
    }
    assert environment["A"]["value"] == "$$(B)"
    assert environment["NATS_SERVER"]["value"] == "x"
    assert environment["DYNAMO_TRANSPORT_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == "hello-world-transport"


def test_the_model_cache() -> None:
    """An existing claim is mounted; the cache of Hugging Face is there."""
    spec = pod("Backend", options={"model-cache": "models"})
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "models"}} in spec["volumes"]
    assert {"name": "HF_HOME", "value": "/models"} in spec["containers"][0]["env"]
    assert spec["securityContext"]["fsGroup"]


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (Resources(gpu="0.5"), "asks for 0.5 GPUs"),
        (Resources(memory="16GB"), "memory `16GB` is not a Kubernetes quantity"),
        (Resources(cpu="1,5"), "cpu `1,5`"),
        (Resources(custom={"example.com/a": "x"}), "example.com/a `x`"),
    ],
)
def test_impossible_resources(resources: Resources, message: str) -> None:
    """What a cluster cannot give is refused in one line that names the service."""
    base = deployment(hello_graph())
    workloads = tuple(replace(workload, resources=resources) for workload in base.workloads)
    layout = Layout(replace(base, workloads=workloads))
    with pytest.raises(DeployError, match=message):
        pod_spec(layout, layout.find_workload("Backend"))


def test_shared_memory_counts_to_memory() -> None:
    """More shared memory than memory is refused."""
    with pytest.raises(DeployError, match="of shared memory"):
        pod("VllmWorker", gpu=True, options={"shared-memory": "100Gi"})
