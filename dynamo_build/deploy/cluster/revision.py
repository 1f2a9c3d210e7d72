"""Revisions kept on the cluster: each different set of manifests is one, and the last few can be restored.

A revision is an immutable ConfigMap, owned by the parent object of the deployment, so that it goes with it.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynamo.sdk import codec
from dynamo_build.deploy.cluster.answer import build_answer_error
from dynamo_build.deploy.cluster.api_client import Connection
from dynamo_build.deploy.cluster.members import CONFIG_MAPS
from dynamo_build.deploy.kubernetes.objects.object_layout import MANAGER
from dynamo_build.errors import DeployError
from dynamo_build.model.deployment import DEFAULT_TARGET, Manifest, Manifests

KEPT = 5
OF, NUMBER = "dynamo/revisions-of", "dynamo/revision"
_KEY = "manifests.json.gz"
_LARGEST = 750_000
#: Nothing that we write comes near; what does is not ours.
_LARGEST_UNPACKED = 256 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One revision. `created` is the server's time."""

    number: int
    bento: str
    digest: str
    created: str
    current: bool


def digest_documents(documents: Sequence[Mapping[str, Any]]) -> str:
    """The digest of manifests."""
    return hashlib.sha256(codec.encode_canonical(documents)).hexdigest()


def record_revision(
    connection: Connection, parent: Mapping[str, Any], documents: Sequence[Mapping[str, Any]], data: Mapping[str, str]
) -> int:
    """Keep the manifests as the next revision and drop the oldest; 0 when they are too large to be kept.

    Raises DeployError.
    """
    packed = gzip.compress(codec.encode_canonical(documents), 9, mtime=0)
    if len(packed) > _LARGEST:
        return 0
    metadata = parent["metadata"]
    name, namespace = str(metadata["name"]), str(metadata["namespace"])
    before = _list_config_maps(connection, name, namespace)
    number = max((_parse_number(item) for item in before), default=0)
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": metadata["uid"]}
    collection = CONFIG_MAPS.format(namespace)
    while True:
        number += 1
        labels = {"app.kubernetes.io/managed-by": MANAGER, OF: name, NUMBER: str(number)}
        document = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"{name}-revision-{number}",
                "namespace": namespace,
                "labels": labels,
                "ownerReferences": [owner],
            },
            "immutable": True,
            "data": dict(data),
            "binaryData": {_KEY: base64.b64encode(packed).decode()},
        }
        answer = connection.request("POST", collection, query={"fieldManager": MANAGER}, body=document)
        if answer.status != 409:  # somebody else deploys at the same time
            break
    if not answer.is_ok:
        raise build_answer_error(answer, f"ConfigMap/{name}-revision-{number}")
    for item in sorted(before, key=_parse_number)[: max(0, len(before) + 1 - KEPT)]:
        connection.request("DELETE", f"{collection}/{item['metadata']['name']}")
    return number


def list_revisions(connection: Connection, parent: Mapping[str, Any]) -> tuple[Revision, ...]:
    """The revisions that are kept, the newest first."""
    metadata = parent["metadata"]
    current = (parent.get("data") or {}).get("revision", "")
    found = sorted(
        _list_config_maps(connection, metadata["name"], metadata["namespace"]), key=_parse_number, reverse=True
    )
    return tuple(
        Revision(
            number=_parse_number(item),
            bento=str((item.get("data") or {}).get("bento", "")),
            digest=str((item.get("data") or {}).get("manifests", "")),
            created=str(item["metadata"].get("creationTimestamp", "")),
            current=str(_parse_number(item)) == current,
        )
        for item in found
    )


def read_manifests(connection: Connection, parent: Mapping[str, Any], number: int = 0) -> Manifests:
    """The manifests of a revision; 0 for the current one. Raises DeployError when they are not kept."""
    name, namespace = str(parent["metadata"]["name"]), str(parent["metadata"]["namespace"])
    data = parent.get("data") or {}
    wanted = str(number or data.get("revision", "0"))
    item = connection.get(f"{CONFIG_MAPS.format(namespace)}/{name}-revision-{wanted}")
    if item is None or (item["metadata"].get("labels") or {}).get(OF) != name:
        what = f"revision {wanted}" if wanted != "0" else "the current revision"
        hint = f"See `dynamo deployment history {name} -n {namespace}`."
        raise DeployError(f"{what} of {name} is not kept on the cluster", [hint])
    try:
        unpacker = zlib.decompressobj(wbits=31)
        text = unpacker.decompress(base64.b64decode(item["binaryData"][_KEY]), _LARGEST_UNPACKED)
        documents = json.loads(text)
        items = tuple(Manifest(document=document) for document in documents)
        damaged = digest_documents(documents) != item["data"]["manifests"]
        damaged = damaged or any(
            document["metadata"]["namespace"] != namespace for document in _select_namespaced(documents)
        )
    except (KeyError, TypeError, ValueError, zlib.error):
        damaged, items = True, ()
    if damaged:
        raise DeployError(f"revision {wanted} of {name} is damaged", ["Deploy the bento again."])
    target = str(item["data"].get("target", DEFAULT_TARGET))
    return Manifests(deployment=name, namespace=namespace, target=target, items=items)


def _select_namespaced(documents: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [document for document in documents if document["kind"] != "Namespace"]


def _list_config_maps(connection: Connection, name: str, namespace: str) -> list[Mapping[str, Any]]:
    return list(connection.list_items(CONFIG_MAPS.format(namespace), f"{OF}={name}"))


def _parse_number(item: Mapping[str, Any]) -> int:
    text = str(item["metadata"]["labels"].get(NUMBER, ""))
    return int(text) if text.isascii() and text.isdigit() else 0
