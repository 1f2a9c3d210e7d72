"""All objects of a deployment, in the order in which they are applied, and overrides laid over them.

Overrides: maps merge, named lists merge by their key, null removes. Source: Kubernetes "strategic merge patch"
(sig-api-machinery); the merge keys are those of the core types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dynamo_build.deploy.kubernetes.objects import nats, network
from dynamo_build.deploy.kubernetes.objects.object_layout import CONFIG_KEY, Layout
from dynamo_build.deploy.kubernetes.objects.order import sort_key
from dynamo_build.deploy.kubernetes.objects.pod import CONTAINER, claim_name
from dynamo_build.deploy.kubernetes.objects.workload import (
    build_autoscaler,
    disruption_budget,
    workload_deployment,
    workload_object,
)
from dynamo_build.errors import DeployError
from dynamo_build.model.deployment import Deployment, Manifest, Workload

#: A ConfigMap holds at most 1 MiB.
_LARGEST_CONFIG = 1_000_000
_ENVIRONMENTS, _GROUPS = "environments", "LeaderWorkerSet"


def build_objects(deployment: Deployment) -> tuple[Manifest, ...]:
    """The objects. Raises DeployError for what Kubernetes cannot express."""
    layout = Layout(deployment)
    found = [
        *shared_objects(layout),
        *(
            document
            for workload in layout.deployment.workloads
            for document in _build_workload_objects(layout, workload)
        ),
    ]
    if (entrance := network.build_ingress(layout)) is not None:
        found.append(entrance)
    found.sort(key=sort_key)
    return tuple(Manifest(document=document, file=_name_file(document)) for document in found)


def _name_file(document: Mapping[str, Any]) -> str:
    return f"{document['kind'].lower()}-{document['metadata']['name']}"


def shared_objects(layout: Layout) -> list[dict[str, Any]]:
    """What the services share: account, configuration, claims, NATS. Raises DeployError."""
    if len(layout.config.encode()) > _LARGEST_CONFIG:
        raise DeployError(
            "the configuration is larger than a ConfigMap may be (1 MiB)", ["Put large values into files."]
        )
    labels = layout.build_labels()
    found: list[dict[str, Any]] = []
    if layout.options.create_namespace:
        guarded = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        found.append(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": layout.namespace, "labels": guarded}}
        )
    found.append(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": layout.build_metadata(layout.service_account, labels),
            "automountServiceAccountToken": False,
        }
    )
    found.append(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": layout.build_metadata(layout.config_name, labels),
            "immutable": True,
            "data": {CONFIG_KEY: layout.config},
        }
    )
    if layout.options.model_cache_size and not layout.options.model_cache:
        found.append(_model_claim(layout))
    if not layout.deployment.nats:
        found += [nats.nats_service(layout), nats.nats_stateful_set(layout)]
        if layout.options.network_policy:
            found.append(network.nats_policy(layout))
    if layout.options.pod_monitor:
        found.append(_pod_monitor(layout))
    return found


def _build_workload_objects(layout: Layout, workload: Workload) -> list[dict[str, Any]]:
    found = [
        network.build_service(layout, workload),
        workload_object(layout, workload),
        build_autoscaler(layout, workload),
        disruption_budget(layout, workload),
        network.network_policy(layout, workload) if layout.options.network_policy else None,
    ]
    return _apply_overrides(layout, workload, [document for document in found if document is not None])


def overridden_pod(layout: Layout, workload: Workload) -> dict[str, Any]:
    """The pod of a service with the overrides of its author and of the options. Raises DeployError."""
    (deployment,) = _apply_overrides(layout, workload, [workload_deployment(layout, workload)])
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return pod


def _apply_overrides(layout: Layout, workload: Workload, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`entrypoint` and `cmd` of the container, `container`, `pod`, or the whole of an object by its kind.

    What stands below `environments` holds only in the one that the options choose.
    """
    kinds = sorted({str(document["kind"]) for document in found})
    given = (workload.overrides, layout.options.overrides.get(workload.service, {}))
    chosen = layout.options.environment
    own = [read_environments(overrides, workload.service).get(chosen, {}) for overrides in given]
    for overrides in (*given, *own):
        for key, value in overrides.items():
            if key == _ENVIRONMENTS:
                continue
            kind, patch = _build_patch(key, value, kinds, workload.service)
            found = [strategic_merge(item, patch) if item["kind"] == kind else item for item in found]
    return found


def read_environments(overrides: Mapping[str, Any], service: str) -> Mapping[str, Mapping[str, Any]]:
    """The overrides of each environment. Raises DeployError where they are not a map of maps."""
    found = overrides.get(_ENVIRONMENTS) or {}
    if not isinstance(found, Mapping) or not all(isinstance(value, Mapping) for value in found.values()):
        hint = "Write the name of an environment, and overrides below it."
        raise DeployError(f"service {service}: kubernetes_overrides.{_ENVIRONMENTS} is not a map of maps", [hint])
    return found


def list_environments(deployment: Deployment) -> tuple[str, ...]:
    """The environments that services name in their overrides, sorted. Raises DeployError."""
    options = Layout(deployment).options
    found = {
        name
        for workload in deployment.workloads
        for overrides in (workload.overrides, options.overrides.get(workload.service, {}))
        for name in read_environments(overrides, workload.service)
    }
    return tuple(sorted(found))


def _build_patch(key: str, value: Any, kinds: Sequence[str], service: str) -> tuple[str, Mapping[str, Any]]:
    workload = _GROUPS if _GROUPS in kinds else "Deployment"
    if key in ("entrypoint", "cmd"):
        words = value if isinstance(value, list) else [value]
        fields = {"command" if key == "entrypoint" else "args": [str(word) for word in words]}
        return workload, _wrap_pod(workload, _wrap_container(fields))
    if key in ("container", "pod", *kinds) and not isinstance(value, Mapping):
        raise DeployError(f"service {service}: kubernetes_overrides.{key} is not a map", ["Write the fields below it."])
    if key == "container":
        return workload, _wrap_pod(workload, _wrap_container(value))
    if key == "pod":
        return workload, _wrap_pod(workload, value)
    if key in kinds:
        return key, value
    hint = f"Use {', '.join(['entrypoint', 'cmd', 'container', 'pod', *kinds])}."
    raise DeployError(f"service {service}: kubernetes_overrides has no `{key}`", [hint])


def _wrap_pod(workload: str, pod: Mapping[str, Any]) -> dict[str, Any]:
    if workload == _GROUPS:
        both = {"leaderTemplate": {"spec": pod}, "workerTemplate": {"spec": pod}}
        return {"spec": {"leaderWorkerTemplate": both}}
    return {"spec": {"template": {"spec": pod}}}


def _wrap_container(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"containers": [{"name": CONTAINER, **fields}]}


def _model_claim(layout: Layout) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": layout.options.model_cache_size}},
    }
    if layout.options.storage_class:
        spec["storageClassName"] = layout.options.storage_class
    metadata = layout.build_metadata(claim_name(layout), layout.build_labels())
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def _pod_monitor(layout: Layout) -> dict[str, Any]:
    endpoint = {"port": "system", "path": "/metrics"}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": layout.build_metadata(layout.instance, layout.build_labels()),
        "spec": {
            "selector": {
                "matchLabels": layout.build_selector(),
                "matchExpressions": [{"key": "app.kubernetes.io/name", "operator": "NotIn", "values": ["nats"]}],
            },
            "podMetricsEndpoints": [endpoint],
        },
    }


_MERGE_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "ports": ("containerPort", "port"),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey",),
    "resourceClaims": ("name",),
}


def strategic_merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """`upper` over `lower`. `$patch: replace` takes an object as written, `$patch: delete` removes a list's item."""
    if upper.get("$patch") == "replace":
        return {key: value for key, value in upper.items() if key != "$patch"}
    merged = dict(lower)
    for key, value in upper.items():
        present = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            merged[key] = strategic_merge(present if isinstance(present, Mapping) else {}, value)
        elif isinstance(value, list) and isinstance(present, list) and key in _MERGE_KEYS:
            merged[key] = _merge_lists(present, value, _MERGE_KEYS[key])
        else:
            merged[key] = value
    return merged


def _merge_lists(lower: list[Any], upper: list[Any], keys: tuple[str, ...]) -> list[Any]:
    merged = list(lower)
    for item in upper:
        key = next((name for name in keys if isinstance(item, Mapping) and name in item), None)
        if key is None:
            merged.append(item)
            continue
        index = next(
            (n for n, old in enumerate(merged) if isinstance(old, Mapping) and old.get(key) == item[key]), None
        )
        if item.get("$patch") == "delete":
            merged = [old for n, old in enumerate(merged) if n != index]
        elif index is None:
            merged.append(dict(item))
        else:
            merged[index] = strategic_merge(merged[index], item)
    return merged
