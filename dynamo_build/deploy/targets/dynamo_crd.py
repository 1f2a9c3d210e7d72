"""The target of the Dynamo operator: one DynamoGraphDeployment for a cluster with the Dynamo operator.

v1beta1 is what the operator stores; v1alpha1, which it still reads, is the form of the SDK's time.
"""

from __future__ import annotations

import re
from typing import Any

from dynamo_build.deploy.cluster_target import ClusterTarget
from dynamo_build.deploy.kubernetes.objects.graph import overridden_pod, shared_objects
from dynamo_build.deploy.kubernetes.objects.object_layout import Layout
from dynamo_build.deploy.kubernetes.objects.order import sort_key
from dynamo_build.deploy.kubernetes.objects.pod import count_nodes
from dynamo_build.errors import DeployError
from dynamo_build.model.deployment import DEFAULT_TARGET, Deployment, Manifest, Manifests, Workload

_MOST_COMPONENTS = 25
_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9]{0,61}[A-Za-z0-9])?")
_TYPES = ("frontend", "worker", "prefill", "decode", "planner", "epp")
#: The operator compares this with its own where the image's tag is no version; images by digest have no tag.
_RUNTIME_VERSION = "1.0.0"


class DynamoCrdTarget(ClusterTarget):
    """Renders the operator's resource and the configuration beside it; the operator makes the workloads."""

    def render(self, deployment: Deployment) -> Manifests:
        """The resource and what its pods refer to. Raises DeployError for what it cannot express."""
        layout = Layout(deployment)
        deployment = layout.deployment
        if (count := len(deployment.workloads)) > _MOST_COMPONENTS:
            message = f"the graph has {count} services; a DynamoGraphDeployment holds {_MOST_COMPONENTS} at most"
            raise DeployError(message, [f"Deploy it with --target {DEFAULT_TARGET}."])
        earlier = layout.options.crd_version == "v1alpha1"
        graph = {
            "apiVersion": f"nvidia.com/{layout.options.crd_version}",
            "kind": "DynamoGraphDeployment",
            "metadata": {
                **layout.build_metadata(layout.instance, layout.build_labels()),
                "annotations": {"dynamo/bento": deployment.bento},
            },
            "spec": _build_services(layout) if earlier else {"components": _build_components(layout)},
        }
        documents = [*shared_objects(layout), graph]
        kept = [item for item in documents if item["kind"] not in ("NetworkPolicy", "PodMonitor")]
        kept.sort(key=sort_key)
        items = tuple(
            Manifest(document=item, file=f"{item['kind'].lower()}-{item['metadata']['name']}") for item in kept
        )
        return Manifests(
            deployment=layout.instance, namespace=deployment.namespace, target=deployment.target, items=items
        )


def _build_components(layout: Layout) -> list[dict[str, Any]]:
    return [_build_component(layout, workload) for workload in layout.deployment.workloads]


def _build_component(layout: Layout, workload: Workload) -> dict[str, Any]:
    name = _check_name(layout, workload)
    pod, memory = _build_pod(layout, workload)
    return {
        "name": name,
        "type": _choose_type(workload),
        "replicas": workload.replicas,
        **_build_multinode(layout, workload),
        "runtimeVersionOverride": _RUNTIME_VERSION,
        "sharedMemorySize": memory or "0",
        "podTemplate": {"metadata": {"labels": layout.workload_labels(workload)}, "spec": pod},
    }


def _build_services(layout: Layout) -> dict[str, Any]:
    """v1alpha1: a map of services, resources by words, the container beside the rest of the pod."""
    found: dict[str, Any] = {}
    for workload in layout.deployment.workloads:
        pod, memory = _build_pod(layout, workload)
        (container,) = pod.pop("containers")
        for part in ("requests", "limits"):
            devices = container["resources"][part]
            if count := devices.pop(layout.options.gpu_resource, None):
                devices["gpu"] = count
            if custom := {name: devices.pop(name) for name in sorted(devices) if "/" in name}:
                devices["custom"] = custom
        probes = {name: container.pop(name) for name in ("livenessProbe", "readinessProbe") if name in container}
        found[_check_name(layout, workload)] = {
            "dynamoNamespace": workload.namespace,
            "componentType": "frontend" if _choose_type(workload) == "frontend" else "worker",
            **({"subComponentType": _choose_type(workload)} if _choose_type(workload) in ("prefill", "decode") else {}),
            "replicas": workload.replicas,
            **_build_multinode(layout, workload),
            "labels": layout.workload_labels(workload),
            "resources": container.pop("resources"),
            "envs": container.pop("env"),
            **probes,
            "sharedMemory": {"size": memory} if memory else {"disabled": True},
            "extraPodSpec": {**pod, "mainContainer": container},
        }
    return {"services": found}


def _build_multinode(layout: Layout, workload: Workload) -> dict[str, Any]:
    count = count_nodes(layout, workload)
    return {"multinode": {"nodeCount": count}} if count > 1 else {}


def _check_name(layout: Layout, workload: Workload) -> str:
    name = layout.get_component(workload.service)
    if not _NAME.fullmatch(name):
        raise DeployError(f"`{name}` cannot be the name of a component", ["Rename the service."])
    return name


def _build_pod(layout: Layout, workload: Workload) -> tuple[dict[str, Any], str]:
    """The pod without what the operator sets itself, and the size of its shared memory ("" for none)."""
    pod = overridden_pod(layout, workload)
    del pod["serviceAccountName"], pod["automountServiceAccountToken"]  # the operator gives each component its own
    shared = next((volume for volume in pod["volumes"] if volume["name"] == "shm"), None)
    if shared is not None:
        pod["volumes"] = [volume for volume in pod["volumes"] if volume is not shared]
        for container in pod["containers"]:
            mounts = container.get("volumeMounts", ())
            container["volumeMounts"] = [mount for mount in mounts if mount["name"] != "shm"]
    return pod, shared["emptyDir"]["sizeLimit"] if shared is not None else ""


def _choose_type(workload: Workload) -> str:
    if workload.component_type in _TYPES:
        return workload.component_type
    return "frontend" if workload.entry and workload.http else "worker"
