"""A service's Deployment, budget and autoscaler."""

from __future__ import annotations

from typing import Any

from dynamo_build.deploy.kubernetes.objects import workload
from dynamo_build.deploy.kubernetes.objects.object_layout import Layout
from support.deployments import deployment, disaggregated_graph


def made(service: str, **fields: Any) -> tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any] | None]:
    layout = Layout(deployment(disaggregated_graph(), **fields))
    found = layout.find_workload(service)
    return (
        workload.workload_deployment(layout, found),
        workload.disruption_budget(layout, found),
        workload.build_autoscaler(layout, found),
    )


def test_gpu_services_do_not_surge() -> None:
    """No GPU is spare, so a GPU pod goes before its successor comes; others surge."""
    gpu, _, _ = made("VllmWorker")
    cpu, _, _ = made("Processor")
    assert gpu["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert cpu["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert gpu["spec"]["progressDeadlineSeconds"] > 1800


def test_a_budget_for_more_than_one() -> None:
    """Only where there is a second replica."""
    assert made("Processor")[1] is not None
    assert made("Frontend")[1] is None


def test_autoscaling_leaves_replicas_out() -> None:
    """Else each apply would fight with the autoscaler."""
    deployed, budget, scaler = made("Processor", options={"autoscaling": {"Processor": {"minimum": 2, "maximum": 5}}})
    assert "replicas" not in deployed["spec"]
    assert budget is not None
    assert scaler is not None and scaler["spec"]["maxReplicas"] == 5
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployed["metadata"]["name"]
