"""The server of the contract: the double, or a real one by K8S_CONTRACT_KUBECONFIG."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dynamo_build.deploy.cluster.answer import Answer
from dynamo_build.deploy.cluster.api_client import APPLY_PATCH, Connection
from dynamo_build.deploy.cluster.resource import Resources
from support.cluster import cluster


@dataclass
class Server:
    """Requests in a namespace of the test's own, which is `restricted` with warnings."""

    connection: Connection
    kubeconfig: Path
    namespace: str

    def path(self, document: dict[str, Any], *, named: bool = True) -> str:
        try:
            resource = Resources(self.connection).resolve_document(document)
        except Exception:
            group, _, version = document["apiVersion"].rpartition("/")
            plural = document["kind"].lower() + "s"
            return f"/apis/{group}/{version}/namespaces/{self.namespace}/{plural}/{document['metadata']['name']}"
        space = document["metadata"].get("namespace", self.namespace)
        return (
            resource.build_path(document["metadata"]["name"], space) if named else resource.build_collection_path(space)
        )

    def apply(self, document: dict[str, Any], manager: str = "test", **query: str) -> Answer:
        asked = {"fieldManager": manager, **query}
        return self.connection.request("PATCH", self.path(document), query=asked, body=document, kind=APPLY_PATCH)

    def create(self, document: dict[str, Any], **query: str) -> Answer:
        asked = {"fieldManager": "test", "fieldValidation": "Strict", **query}
        path = self.path(document, named=False) if "v2beta" not in document["apiVersion"] else self.path(document)
        return self.connection.request("POST", path, query=asked, body=document)

    def get(self, document: dict[str, Any]) -> Any:
        return self.connection.get(self.path(document))


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of the server under test."""
    if given := os.environ.get("K8S_CONTRACT_KUBECONFIG"):
        yield Path(given)
        return
    with cluster() as double:
        yield double.kubeconfig(tmp_path_factory.mktemp("double"))


@pytest.fixture
def server(kubeconfig: Path) -> Iterator[Server]:
    """A namespace of one's own."""
    connection = Connection(kubeconfig=str(kubeconfig), sleep=lambda seconds: None)
    name = f"contract-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/warn": "restricted"}
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    answer = connection.request("POST", "/api/v1/namespaces", query={"fieldManager": "test"}, body=document)
    assert answer.status == 201, answer.message
    yield Server(connection, kubeconfig, name)
    connection.request("DELETE", f"/api/v1/namespaces/{name}")
