"""What an apply would change on the cluster, one line per field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dynamo_build.cluster.change import differences
from dynamo_build.cluster.connection import Connection
from dynamo_build.cluster.resource import Resources
from dynamo_build.model.deployment import Manifests

_LONGEST = 60


def diff(manifests: Manifests, connection: Connection) -> Iterator[str]:
    """`+ Kind/name` for what is not there, `~ Kind/name path: old → new` for what differs. Raises DeployError."""
    resources = Resources(connection)
    for item in manifests.items:
        document = item.document
        name, kind = str(document["metadata"]["name"]), str(document["kind"])
        live = connection.get(resources.of(document).path(name, manifests.namespace))
        if live is None:
            yield f"+ {kind}/{name}"
            continue
        for path in differences(document, live):
            yield f"~ {kind}/{name} {path}: {_shown(live, path)} → {_shown(document, path)}"


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
