"""The transport token: a Secret that the cluster keeps, made once and never shown."""

from __future__ import annotations

import secrets

from dynamo_build.deploy.cluster.answer import failure
from dynamo_build.deploy.cluster.connection import Connection
from dynamo_build.deploy.kubernetes.objects.layout import MANAGER, TOKEN_KEY


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
    if not answer.ok and answer.status != 409:
        raise failure(answer, f"Secret/{name}")
    return answer.ok
