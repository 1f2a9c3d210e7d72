"""What an apply would change on the cluster, one line per field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dynamo_build.deploy.cluster import applyset, members
from dynamo_build.deploy.cluster.comparison import NOTHING, compared
from dynamo_build.deploy.cluster.connection import Connection
from dynamo_build.deploy.cluster.deploy import instance, leftovers
from dynamo_build.deploy.cluster.resource import Resources
from dynamo_build.deploy.cluster.revision import manifests_of
from dynamo_build.errors import DeployError
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
    parent = connection.get(f"{members.CONFIG_MAPS.format(manifests.namespace)}/{name}") or {}
    before = _recorded(connection, parent)
    for document in documents:
        own, kind = str(document["metadata"]["name"]), str(document["kind"])
        live = live_ones.get((kind, own))
        if live is None:  # there, perhaps, but not ours yet
            live = connection.get(resources.of(document).path(own, manifests.namespace))
        if live is None:
            yield f"+ {kind}/{own}"
            continue
        for path, now, then in compared(document, live, before.get((kind, own), NOTHING)):
            yield f"~ {kind}/{own} {path}: {_shown(now)} → {_shown(then)}"
    gone = leftovers(connection, resources, documents, manifests.namespace, identifier, members.kinds_of(parent))
    yield from (f"- {resource.kind}/{own}" for resource, own in gone)


def _recorded(connection: Connection, parent: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """What was applied last; nothing when it is not kept."""
    if not parent:
        return {}
    try:
        items = manifests_of(connection, parent).items
    except DeployError:
        return {}
    return {(str(one.document["kind"]), str(one.document["metadata"]["name"])): one.document for one in items}


def _shown(value: Any) -> str:
    text = repr(value) if value is NOTHING else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
