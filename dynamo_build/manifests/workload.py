"""A service's Deployment, and what watches over it: disruption budget, autoscaler."""

from __future__ import annotations

from typing import Any

from dynamo_build.manifests.layout import Layout
from dynamo_build.manifests.pod import gpus, pod_spec
from dynamo_build.model.deployment import Workload

#: Seconds for scheduling and pulling the image, on top of the budget for loading the model.
_SCHEDULING = 600


def workload_deployment(layout: Layout, workload: Workload) -> dict[str, Any]:
    """A Deployment. GPU services replace a pod after stopping it, since no GPU is spare; others surge."""
    labels = layout.workload_labels(workload)
    rolling = {"maxSurge": 0, "maxUnavailable": 1} if gpus(workload) else {"maxSurge": 1, "maxUnavailable": 0}
    replicas = {} if workload.service in layout.options.autoscaling else {"replicas": workload.replicas}
    annotations = {"dynamo/service": workload.service, "dynamo/bento": layout.deployment.bento}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**layout.metadata(layout.name(workload.service), labels), "annotations": annotations},
        "spec": {
            **replicas,
            "revisionHistoryLimit": 5,
            "progressDeadlineSeconds": workload.startup + _SCHEDULING,
            "selector": {"matchLabels": layout.selector(layout.component(workload.service))},
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
        "metadata": layout.metadata(layout.name(workload.service), layout.workload_labels(workload)),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": layout.selector(layout.component(workload.service))},
        },
    }


def autoscaler(layout: Layout, workload: Workload) -> dict[str, Any] | None:
    """A HorizontalPodAutoscaler where the options ask for one."""
    scaling = layout.options.autoscaling.get(workload.service)
    if scaling is None:
        return None
    name = layout.name(workload.service)
    cpu = {"type": "Utilization", "averageUtilization": scaling.cpu_percent}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": layout.metadata(name, layout.workload_labels(workload)),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": scaling.minimum,
            "maxReplicas": scaling.maximum,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": cpu}}],
        },
    }
