"""A service's workload, and what watches over it: disruption budget, autoscaler."""

from __future__ import annotations

from typing import Any

from dynamo_build.deploy.kubernetes.objects.object_layout import Layout
from dynamo_build.deploy.kubernetes.objects.pod import count_gpus, count_nodes, leader_worker_set, pod_spec
from dynamo_build.model.deployment import Workload

#: Seconds for scheduling and pulling the image, on top of the budget for loading the model.
_SCHEDULING = 600


def workload_object(layout: Layout, workload: Workload) -> dict[str, Any]:
    """A Deployment; a LeaderWorkerSet where one replica needs several nodes. Raises DeployError."""
    return (
        leader_worker_set(layout, workload)
        if count_nodes(layout, workload) > 1
        else workload_deployment(layout, workload)
    )


def workload_deployment(layout: Layout, workload: Workload) -> dict[str, Any]:
    """A Deployment. GPU services replace a pod after stopping it, since no GPU is spare; others surge."""
    labels = layout.workload_labels(workload)
    rolling = {"maxSurge": 0, "maxUnavailable": 1} if count_gpus(workload) else {"maxSurge": 1, "maxUnavailable": 0}
    replicas = {} if workload.service in layout.options.autoscaling else {"replicas": workload.replicas}
    annotations = {"dynamo/service": workload.service, "dynamo/bento": layout.deployment.bento}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**layout.build_metadata(layout.build_name(workload.service), labels), "annotations": annotations},
        "spec": {
            **replicas,
            "revisionHistoryLimit": 5,
            "progressDeadlineSeconds": workload.startup + _SCHEDULING,
            "selector": {"matchLabels": layout.build_selector(layout.get_component(workload.service))},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {"kubectl.kubernetes.io/default-container": "main"},
                },
                "spec": pod_spec(layout, workload),
            },
        },
    }


def disruption_budget(layout: Layout, workload: Workload) -> dict[str, Any] | None:
    """At most one pod away at a time, where there is more than one."""
    scaling = layout.options.autoscaling.get(workload.service)
    if (scaling.minimum if scaling else workload.replicas) < 2:
        return None
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": layout.build_metadata(layout.build_name(workload.service), layout.workload_labels(workload)),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": layout.build_selector(layout.get_component(workload.service))},
        },
    }


def build_autoscaler(layout: Layout, workload: Workload) -> dict[str, Any] | None:
    """A HorizontalPodAutoscaler, or a ScaledObject of KEDA, where the options ask for one."""
    scaling = layout.options.autoscaling.get(workload.service)
    if scaling is None:
        return None
    name = layout.build_name(workload.service)
    found = workload_object(layout, workload)
    target = {"apiVersion": found["apiVersion"], "kind": found["kind"], "name": name}
    if scaling.query:
        figure = {"serverAddress": scaling.prometheus, "query": scaling.query, "threshold": scaling.threshold}
        return {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": layout.build_metadata(name, layout.workload_labels(workload)),
            "spec": {
                "scaleTargetRef": target,
                "minReplicaCount": scaling.minimum,
                "maxReplicaCount": scaling.maximum,
                "triggers": [{"type": "prometheus", "metadata": figure}],
            },
        }
    cpu = {"type": "Utilization", "averageUtilization": scaling.cpu_percent}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": layout.build_metadata(name, layout.workload_labels(workload)),
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": scaling.minimum,
            "maxReplicas": scaling.maximum,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": cpu}}],
        },
    }
