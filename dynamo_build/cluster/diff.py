"""What an apply would change on the cluster, one line per field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dynamo_build.cluster import applyset, members
from dynamo_build.cluster.change import differences
from dynamo_build.cluster.connection import Connection
from dynamo_build.cluster.deploy import instance, leftovers
from dynamo_build.cluster.resource import Resources
from dynamo_build.model.deployment import Manifests

_LONGEST = 60


def diff(manifests: Manifests, connection: Connection) -> Iterator[str]:
    """`+ Kind/name` for what is not there, `~ Kind/name path: old → new` for what differs, `- Kind/name` for what goes.

    Raises DeployError.
    """
    resources = Resources(connection)
    documents = [item.document for item in manifests.items]
    name = instance(documents) or manifests.deployment
    identifier = applyset.identity(name, manifests.namespace)
    kinds = list(dict.fromkeys(resources.of(document) for document in documents))
    found = members.members(connection, kinds, manifests.namespace, identifier)
    live_ones = {(resource.kind, str(item["metadata"]["name"])): item for resource, item in found}
    for document in documents:
        own, kind = str(document["metadata"]["name"]), str(document["kind"])
        live = live_ones.get((kind, own))
        if live is None:  # there, perhaps, but not ours yet
            live = connection.get(resources.of(document).path(own, manifests.namespace))
        if live is None:
            yield f"+ {kind}/{own}"
            continue
        for path in differences(document, live):
            yield f"~ {kind}/{own} {path}: {_shown(live, path)} → {_shown(document, path)}"
    parent = connection.get(f"{members.CONFIG_MAPS.format(manifests.namespace)}/{name}") or {}
    gone = leftovers(connection, resources, documents, manifests.namespace, identifier, members.kinds_of(parent))
    yield from (f"- {resource.kind}/{own}" for resource, own in gone)


def _shown(document: Mapping[str, Any], path: str) -> str:
    found: Any = document
    rest = path
    while rest and found is not None:
        found, rest = _step(found, rest)
    text = "nothing" if found is None else json.dumps(found, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _step(found: Any, path: str) -> tuple[Any, str]:
    """One step down: keys may hold dots, so the longest key that fits is taken."""
    if path.startswith("["):
        index, _, rest = path[1:].partition("]")
        items = found if isinstance(found, list) else []
        return (items[int(index)] if int(index) < len(items) else None), rest.removeprefix(".")
    if isinstance(found, Mapping):
        for key in sorted(found, key=len, reverse=True):
            if path == key or path.startswith((f"{key}.", f"{key}[")):
                return found[key], path[len(key) :].removeprefix(".")
    return None, ""
