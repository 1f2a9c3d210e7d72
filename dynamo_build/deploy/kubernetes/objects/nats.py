"""The deployment's own NATS: one server with JetStream, its storage, and a headless Service."""

from __future__ import annotations

from typing import Any

from dynamo_build.deploy.kubernetes.objects.object_layout import NATS, NATS_PORT, TOKEN_KEY, Layout

_USER = 10001
_MONITOR = 8222


def nats_service(layout: Layout) -> dict[str, Any]:
    """The headless Service, whose name is also the address that the workers use."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": layout.build_metadata(layout.nats_name, layout.build_labels(NATS, NATS)),
        "spec": {
            "clusterIP": "None",
            "selector": layout.build_selector(NATS),
            "ports": [{"name": "nats", "port": NATS_PORT, "targetPort": "nats", "protocol": "TCP"}],
        },
    }


def nats_stateful_set(layout: Layout) -> dict[str, Any]:
    """The server. The claim of its storage stays when the StatefulSet goes."""
    labels = layout.build_labels(NATS, NATS)
    claim: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": layout.options.nats_storage}},
    }
    if layout.options.storage_class:
        claim["storageClassName"] = layout.options.storage_class
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": layout.build_metadata(layout.nats_name, labels),
        "spec": {
            "serviceName": layout.nats_name,
            "replicas": 1,
            "selector": {"matchLabels": layout.build_selector(NATS)},
            "template": {"metadata": {"labels": labels}, "spec": _build_pod(layout)},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
        },
    }


def _build_pod(layout: Layout) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "serviceAccountName": layout.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if layout.options.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in layout.options.image_pull_secrets]
    health = {"path": "/healthz", "port": "monitor", "scheme": "HTTP"}
    alive = {"path": "/healthz?js-server-only=true", "port": "monitor", "scheme": "HTTP"}
    token = {"name": layout.token_secret, "key": TOKEN_KEY}
    spec["containers"] = [
        {
            "name": "nats",
            "image": layout.options.nats_image,
            "imagePullPolicy": "IfNotPresent",
            "args": [
                "--jetstream",
                "--store_dir=/data",
                f"--port={NATS_PORT}",
                f"--http_port={_MONITOR}",
                "--auth=$(NATS_TOKEN)",
            ],
            "env": [{"name": "NATS_TOKEN", "valueFrom": {"secretKeyRef": token}}],
            "ports": [
                {"name": "nats", "containerPort": NATS_PORT, "protocol": "TCP"},
                {"name": "monitor", "containerPort": _MONITOR, "protocol": "TCP"},
            ],
            "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
            "startupProbe": {"httpGet": health, "periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 60},
            "livenessProbe": {"httpGet": alive, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
            "readinessProbe": {"httpGet": alive, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 3},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            },
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        }
    ]
    return spec
