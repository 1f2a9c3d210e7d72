"""A service whose one replica runs on several nodes: a LeaderWorkerSet, the leader of each group serving.

Source: LeaderWorkerSet API v1 (leaderworkerset.x-k8s.io); its controller sets LWS_LEADER_ADDRESS in every pod.
"""

from __future__ import annotations

from typing import Any

from dynamo_build.deploy.kubernetes.objects.layout import Layout
from dynamo_build.deploy.kubernetes.objects.pod import CONTAINER, nodes, pod_spec
from dynamo_build.model.deployment import Workload

#: Only leaders are called, so that Services and budgets select by this label.
ROLE = "dynamo/role"
_INDEX = "metadata.labels['leaderworkerset.sigs.k8s.io/worker-index']"


def leader_worker_set(layout: Layout, workload: Workload) -> dict[str, Any]:
    """Groups of pods, one on each node; a group starts anew as a whole. Raises DeployError.

    Every pod knows its place from DYNAMO_NODE_RANK, DYNAMO_NODES and DYNAMO_LEADER_ADDRESS; the worker of a rank above
    0 runs its service's hooks and probes, and is not called.
    """
    count = nodes(layout, workload)
    replicas = {} if workload.service in layout.options.autoscaling else {"replicas": workload.replicas}
    metadata = layout.metadata(layout.name(workload.service), layout.workload_labels(workload))
    metadata["annotations"] = {"dynamo/service": workload.service, "dynamo/bento": layout.deployment.bento}
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": metadata,
        "spec": {
            **replicas,
            "rolloutStrategy": {
                "type": "RollingUpdate",
                "rollingUpdateConfiguration": {"maxSurge": 0, "maxUnavailable": 1},
            },
            "startupPolicy": "LeaderCreated",
            "leaderWorkerTemplate": {
                "size": count,
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": _template(layout, workload, "leader", count),
                "workerTemplate": _template(layout, workload, "worker", count),
            },
        },
    }


def _template(layout: Layout, workload: Workload, role: str, count: int) -> dict[str, Any]:
    labels = {**layout.workload_labels(workload), ROLE: role}
    pod = pod_spec(layout, workload)
    pod["containers"][0]["env"] += [
        {"name": "DYNAMO_NODES", "value": str(count)},
        {"name": "DYNAMO_NODE_RANK", "valueFrom": {"fieldRef": {"fieldPath": _INDEX}}},
        {"name": "DYNAMO_LEADER_ADDRESS", "value": "$(LWS_LEADER_ADDRESS)"},
    ]
    annotations = {"kubectl.kubernetes.io/default-container": CONTAINER}
    return {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod}
