"""The pod of a service: one container, hardened, with its probes, resources and environment.

A service whose one replica runs on several nodes becomes a LeaderWorkerSet, whose leader serves. Source:
LeaderWorkerSet API v1 (leaderworkerset.x-k8s.io); its controller sets LWS_LEADER_ADDRESS in every pod.

Source: Pod Security Standards, "restricted"; Kubernetes "Configure Liveness, Readiness and Startup Probes".
"""

from __future__ import annotations

from typing import Any

from dynamo_build.deploy.kubernetes.objects import quantity
from dynamo_build.deploy.kubernetes.objects.object_layout import (
    CONFIG_KEY,
    HTTP_PORT,
    RPC_PORT,
    SYSTEM_PORT,
    TOKEN_KEY,
    Layout,
)
from dynamo_build.errors import DeployError
from dynamo_build.model.deployment import Workload

#: Seconds in which a stopping pod still gets connections, until every proxy knows that it goes.
LEAVING = 5
#: The container's name, the same in every pod: `kubectl logs -c main`.
CONTAINER = "main"
_GROUP = 10001
_LARGEST_SHARED_MEMORY = 8 * 1024**3


def pod_spec(layout: Layout, workload: Workload) -> dict[str, Any]:
    """The pod. Raises DeployError for resources that Kubernetes cannot express."""
    options = layout.options
    component = layout.get_component(workload.service)
    spec: dict[str, Any] = {
        "serviceAccountName": layout.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": workload.drain + LEAVING + 10,
        "securityContext": _pod_security(layout),
    }
    if options.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in options.image_pull_secrets]
    if options.priority_class:
        spec["priorityClassName"] = options.priority_class
    if options.runtime_class and count_gpus(workload):
        spec["runtimeClassName"] = options.runtime_class
    selector = {"kubernetes.io/arch": options.architecture} if options.architecture else {}
    if selector or options.node_selector:
        spec["nodeSelector"] = {**selector, **options.node_selector}
    if tolerations := _build_tolerations(layout, workload):
        spec["tolerations"] = tolerations
    if workload.replicas > 1 or workload.service in options.autoscaling:
        spec["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": layout.build_selector(component)},
            }
        ]
    spec["containers"] = [_build_container(layout, workload)]
    spec["volumes"] = [volume for volume, _ in _build_volumes(layout, workload)]
    return spec


def count_gpus(workload: Workload) -> int:
    """Whole GPUs. Raises DeployError for a fraction."""
    text = workload.resources.gpu or "0"
    if not text.isascii() or not text.isdigit():
        raise DeployError(
            f"service {workload.service} asks for {text} GPUs; a cluster gives whole ones",
            ["Write a whole number, or name a shared device in `resources.custom`."],
        )
    return int(text)


def count_nodes(layout: Layout, workload: Workload) -> int:
    """How many nodes one replica needs. Raises DeployError where its GPUs cannot be spread evenly."""
    wanted, most = count_gpus(workload), layout.options.gpus_per_node
    count = -(-wanted // most) or 1
    if wanted % count:
        raise DeployError(
            f"service {workload.service} asks for {wanted} GPUs, which {count} nodes of {most} cannot share evenly",
            ["Ask for a multiple, or say how many a node has: --option gpus-per-node=N."],
        )
    return count


def _build_tolerations(layout: Layout, workload: Workload) -> list[dict[str, Any]]:
    options = layout.options
    found = [dict(item) for item in options.tolerations]
    if count_gpus(workload) and options.gpu_toleration:
        found.append({"key": options.gpu_resource, "operator": "Exists", "effect": "NoSchedule"})
    return found


def _pod_security(layout: Layout) -> dict[str, Any]:
    security: dict[str, Any] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if claim_name(layout):
        security["fsGroup"] = _GROUP
        security["fsGroupChangePolicy"] = "OnRootMismatch"
    return security


def _build_container(layout: Layout, workload: Workload) -> dict[str, Any]:
    ports = [
        {"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"},
        {"name": "rpc", "containerPort": RPC_PORT, "protocol": "TCP"},
        {"name": "system", "containerPort": SYSTEM_PORT, "protocol": "TCP"},
    ]
    wanted = {"http": workload.http, "rpc": workload.dynamo, "system": True}
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": workload.image,
        "imagePullPolicy": "IfNotPresent",
        "args": [workload.service],
        "ports": [port for port in ports if wanted[str(port["name"])]],
        "env": _build_environment(layout, workload),
        "resources": build_resources(layout, workload),
        "startupProbe": _build_probe("/health", period=10, failures=-(-workload.startup // 10)),
        "livenessProbe": _build_probe("/live", period=10, failures=3),
        "readinessProbe": _build_probe("/health", period=5, failures=3),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": _is_read_only(layout, workload),
        },
        "volumeMounts": [mount for _, mount in _build_volumes(layout, workload)],
    }
    if workload.http:
        pause = f"import time; time.sleep({LEAVING})"
        container["lifecycle"] = {"preStop": {"exec": {"command": ["python", "-c", pause]}}}
    return container


def _is_read_only(layout: Layout, workload: Workload) -> bool:
    choice = layout.options.read_only_root
    return not count_gpus(workload) if choice == "auto" else choice == "always"


def _build_probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "system", "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": max(1, failures),
    }


def _build_environment(layout: Layout, workload: Workload) -> list[dict[str, Any]]:
    token = {"secretKeyRef": {"name": layout.token_secret, "key": TOKEN_KEY}}
    config = {"configMapKeyRef": {"name": layout.config_name, "key": CONFIG_KEY}}
    ours: list[dict[str, Any]] = [
        {"name": "DYNAMO_TRANSPORT_TOKEN", "valueFrom": token},
        {"name": "DYN_DEPLOYMENT_CONFIG", "valueFrom": config},
        {"name": "DYN_REQUEST_PLANE", "value": "tcp"},
        {"name": "NATS_SERVER", "value": layout.nats_address},
        {"name": "DYNAMO_TRANSPORT_HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "DYNAMO_TRANSPORT_PORT", "value": str(RPC_PORT)},
        {"name": "DYNAMO_DRAIN_SECONDS", "value": str(workload.drain)},
    ]
    if not layout.deployment.nats:
        ours.append({"name": "NATS_AUTH_TOKEN", "valueFrom": token})
    if claim_name(layout):
        ours.append({"name": "HF_HOME", "value": layout.options.model_cache_path})
    theirs: list[dict[str, Any]] = [
        {"name": name, "value": value.replace("$(", "$$(")} for name, value in sorted(workload.environment.items())
    ]
    theirs += [
        {"name": item.variable, "valueFrom": {"secretKeyRef": {"name": item.secret, "key": item.key}}}
        for item in workload.secrets
    ]
    set_by_them = {item["name"] for item in theirs}
    return [item for item in ours if item["name"] not in set_by_them] + theirs


def build_resources(layout: Layout, workload: Workload) -> dict[str, Any]:
    """Requests and limits: memory and devices are limits, CPU only a request so that an idle node is used."""
    wanted = workload.resources
    for name, text in {"cpu": wanted.cpu, "memory": wanted.memory, **wanted.custom}.items():
        if (number := quantity.parse_quantity(text)) is None or number < 0:
            raise DeployError(
                f"service {workload.service}: {name} `{text}` is not a Kubernetes quantity",
                ["Write numbers such as `4`, `500m`, `16Gi`."],
            )
    devices = dict(sorted(wanted.custom.items()))
    if count := count_gpus(workload):
        devices[layout.options.gpu_resource] = str(count // count_nodes(layout, workload))
    return {
        "requests": {"cpu": wanted.cpu, "memory": wanted.memory, **devices},
        "limits": {"memory": wanted.memory, **devices},
    }


def claim_name(layout: Layout) -> str:
    """The claim of the model cache: the user's own, one of the deployment's, or ""."""
    return layout.options.model_cache or (f"{layout.instance}-models" if layout.options.model_cache_size else "")


def _build_volumes(layout: Layout, workload: Workload) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    found = [({"name": "tmp", "emptyDir": {}}, {"name": "tmp", "mountPath": "/tmp"})]
    if count_gpus(workload):
        memory = {"medium": "Memory", "sizeLimit": _shared_memory(layout, workload)}
        found.append(({"name": "shm", "emptyDir": memory}, {"name": "shm", "mountPath": "/dev/shm"}))
    if claim := claim_name(layout):
        volume = {"name": "models", "persistentVolumeClaim": {"claimName": claim}}
        found.append((volume, {"name": "models", "mountPath": layout.options.model_cache_path}))
    return found


def _shared_memory(layout: Layout, workload: Workload) -> str:
    memory = quantity.parse_quantity(workload.resources.memory) or quantity.parse_quantity("500Mi")
    assert memory is not None
    if not (text := layout.options.shared_memory):
        return quantity.format_mebibytes(
            min(memory / 2, quantity.parse_quantity(str(_LARGEST_SHARED_MEMORY)) or memory)
        )
    size = quantity.parse_quantity(text)
    if size is None:
        raise DeployError(f"target option shared_memory `{text}` is not a Kubernetes quantity", ["Write `8Gi`."])
    if size > memory:
        raise DeployError(
            f"service {workload.service} has {workload.resources.memory} of memory and {text} of shared memory",
            ["Shared memory counts to the memory limit: raise `resources.memory`, or lower shared_memory."],
        )
    return text


#: Only leaders are called, so that Services and budgets select by this label.
ROLE = "dynamo/role"
_INDEX = "metadata.labels['leaderworkerset.sigs.k8s.io/worker-index']"


def leader_worker_set(layout: Layout, workload: Workload) -> dict[str, Any]:
    """Groups of pods, one on each node; a group starts anew as a whole. Raises DeployError.

    Every pod knows its place from DYNAMO_NODE_RANK, DYNAMO_NODES and DYNAMO_LEADER_ADDRESS; the worker of a rank above
    0 runs its service's hooks and probes, and is not called.
    """
    count = count_nodes(layout, workload)
    replicas = {} if workload.service in layout.options.autoscaling else {"replicas": workload.replicas}
    metadata = layout.build_metadata(layout.build_name(workload.service), layout.workload_labels(workload))
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
                "leaderTemplate": _build_template(layout, workload, "leader", count),
                "workerTemplate": _build_template(layout, workload, "worker", count),
            },
        },
    }


def _build_template(layout: Layout, workload: Workload, role: str, count: int) -> dict[str, Any]:
    labels = {**layout.workload_labels(workload), ROLE: role}
    pod = pod_spec(layout, workload)
    pod["containers"][0]["env"] += [
        {"name": "DYNAMO_NODES", "value": str(count)},
        {"name": "DYNAMO_NODE_RANK", "valueFrom": {"fieldRef": {"fieldPath": _INDEX}}},
        {"name": "DYNAMO_LEADER_ADDRESS", "value": "$(LWS_LEADER_ADDRESS)"},
    ]
    annotations = {"kubectl.kubernetes.io/default-container": CONTAINER}
    return {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod}
