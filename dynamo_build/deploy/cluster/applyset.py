"""The set of objects that one deployment applied, so that objects it no longer has can be removed.

The transport token is a Secret that the cluster keeps, made once and never shown.

Source: Kubernetes KEP-3659, ApplySet: labels and annotations that `kubectl apply --prune --applyset` reads too.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from dynamo_build.deploy.cluster.answer import build_answer_error
from dynamo_build.deploy.cluster.api_client import Connection
from dynamo_build.deploy.kubernetes.objects.object_layout import MANAGER, TOKEN_KEY

PART_OF = "applyset.kubernetes.io/part-of"
ID = "applyset.kubernetes.io/id"
TOOLING = "applyset.kubernetes.io/tooling"
CONTAINS = "applyset.kubernetes.io/contains-group-kinds"


def compute_set_id(name: str, namespace: str, kind: str = "ConfigMap", group: str = "") -> str:
    """The id of the set whose parent object this is."""
    digest = hashlib.sha256(f"{name}.{namespace}.{kind}.{group}".encode()).digest()
    return f"applyset-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}-v1"


def format_group_kind(document: Mapping[str, Any]) -> str:
    group = str(document.get("apiVersion", "")).rpartition("/")[0]
    return f"{document.get('kind')}.{group}" if group else str(document.get("kind"))


def build_parent(
    name: str, namespace: str, kinds: Iterable[str], version: str, data: Mapping[str, str]
) -> dict[str, Any]:
    """The parent: a ConfigMap that carries the deployment's name, and what it was made from."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {
                "app.kubernetes.io/instance": name,
                "app.kubernetes.io/managed-by": "dynamo",
                ID: compute_set_id(name, namespace),
            },
            "annotations": {TOOLING: f"dynamo/v{version}", CONTAINS: ",".join(sorted(set(kinds)))},
        },
        "data": dict(data),
    }


def add_set_label(document: Mapping[str, Any], identifier: str) -> dict[str, Any]:
    """The object with the label of its set."""
    metadata = dict(document["metadata"])
    metadata["labels"] = {**metadata.get("labels", {}), PART_OF: identifier}
    return {**document, "metadata": metadata}


def ensure_token(connection: Connection, namespace: str, name: str, instance: str) -> bool:
    """Create the Secret if it is absent, and say whether it was. Raises DeployError."""
    collection = f"/api/v1/namespaces/{namespace}/secrets"
    if connection.get(f"{collection}/{name}") is not None:
        return False
    labels = {"app.kubernetes.io/instance": instance, "app.kubernetes.io/managed-by": MANAGER}
    answer = connection.request(
        "POST",
        collection,
        query={"fieldManager": MANAGER},
        body={
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "type": "Opaque",
            "stringData": {TOKEN_KEY: secrets.token_hex(32)},
        },
    )
    if not answer.is_ok and answer.status != 409:
        raise build_answer_error(answer, f"Secret/{name}")
    return answer.is_ok
