"""All objects of a deployment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dynamo_build.deploy.kubernetes.objects.graph import build_objects
from dynamo_build.errors import DeployError
from dynamo_build.model.deployment import Deployment
from support.deployments import deployment, disaggregated_graph, hello_graph


def found(made: Deployment) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (item.document["kind"], item.document["metadata"]["name"]): dict(item.document) for item in build_objects(made)
    }


def overridden(overrides: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    base = deployment(hello_graph())
    workloads = tuple(
        replace(item, overrides=overrides if item.service == "Backend" else {}) for item in base.workloads
    )
    return found(replace(base, workloads=workloads))


def test_what_others_need_comes_first() -> None:
    """Namespace, account, configuration, Services, workloads, policies."""
    kinds = [
        item.document["kind"]
        for item in build_objects(deployment(disaggregated_graph(), options={"create-namespace": True}))
    ]
    order = list(dict.fromkeys(kinds))
    assert order == ["Namespace", "ServiceAccount", "ConfigMap", "Service", "StatefulSet", "Deployment",
                     "PodDisruptionBudget", "NetworkPolicy"]  # fmt: skip


def test_the_order_of_services_does_not_matter() -> None:
    """The same graph gives the same objects."""
    base = deployment(hello_graph())
    assert build_objects(base) == build_objects(replace(base, workloads=base.workloads[::-1]))


def test_with_a_nats_elsewhere_there_is_none() -> None:
    """No StatefulSet, no Service, no policy of it."""
    assert not any("nats" in name for _, name in found(deployment(hello_graph(), nats="nats://a:4222")))


def test_overrides_of_the_sdk() -> None:
    """`entrypoint` and `cmd` replace the command and its arguments."""
    made = overridden({"entrypoint": "run", "cmd": ["a", 1]})
    container = made["Deployment", "hello-world-backend"]["spec"]["template"]["spec"]["containers"][0]
    assert (container["command"], container["args"]) == (["run"], ["a", "1"])


def test_overrides_by_kind_pod_and_container() -> None:
    """Any object by its kind; the pod and the container for short."""
    made = overridden(
        {
            "Service": {"spec": {"type": "NodePort"}},
            "pod": {"nodeSelector": {"a": "b"}},
            "container": {"env": [{"name": "A", "value": "1"}]},
        }
    )
    pod = made["Deployment", "hello-world-backend"]["spec"]["template"]["spec"]
    assert made["Service", "hello-world-backend"]["spec"]["type"] == "NodePort"
    assert made["Service", "hello-world-middle"]["spec"]["type"] == "ClusterIP"
    assert pod["nodeSelector"] == {"a": "b"}
    assert pod["containers"][0]["env"][-1] == {"name": "A", "value": "1"}
    assert pod["containers"][0]["image"]


def test_an_unknown_override_is_refused() -> None:
    """With what there is."""
    with pytest.raises(DeployError, match="kubernetes_overrides has no `Pod`"):
        overridden({"Pod": {}})


def test_a_configuration_too_large() -> None:
    """A ConfigMap has an end."""
    with pytest.raises(DeployError, match="larger than a ConfigMap"):
        build_objects(deployment(hello_graph(), config={"A": {"b": "x" * 1_100_000}}))
