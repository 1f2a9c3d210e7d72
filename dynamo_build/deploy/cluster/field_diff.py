"""The changes that an apply would make on the cluster, one line per field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from dynamo_build.deploy.cluster import applyset, members
from dynamo_build.deploy.cluster.api_client import Connection
from dynamo_build.deploy.cluster.apply import find_instance_name, find_leftovers
from dynamo_build.deploy.cluster.change import find_differences
from dynamo_build.deploy.cluster.resource import Resources
from dynamo_build.deploy.cluster.revision import read_manifests
from dynamo_build.errors import DeployError
from dynamo_build.model.deployment import Manifests

_LONGEST = 60


def diff_manifests(manifests: Manifests, connection: Connection) -> Iterator[str]:
    """`+ Kind/name` for what is not there, `~ Kind/name path: old → new` for what differs, `- Kind/name` for what goes.

    Raises DeployError.
    """
    resources = Resources(connection)
    documents = [item.document for item in manifests.items]
    name = find_instance_name(documents) or manifests.deployment
    identifier = applyset.compute_set_id(name, manifests.namespace)
    kinds = list(dict.fromkeys(resources.resolve_document(document) for document in documents))
    found = members.list_members(connection, kinds, manifests.namespace, identifier)
    live_ones = {(resource.kind, str(item["metadata"]["name"])): item for resource, item in found}
    parent = connection.get(f"{members.CONFIG_MAPS.format(manifests.namespace)}/{name}") or {}
    before = _read_applied(connection, parent)
    for document in documents:
        own, kind = str(document["metadata"]["name"]), str(document["kind"])
        live = live_ones.get((kind, own))
        if live is None:  # there, perhaps, but not ours yet
            live = connection.get(resources.resolve_document(document).build_path(own, manifests.namespace))
        if live is None:
            yield f"+ {kind}/{own}"
            continue
        for path, now, then in compare_objects(document, live, before.get((kind, own), NOTHING)):
            yield f"~ {kind}/{own} {path}: {_format_value(now)} → {_format_value(then)}"
    gone = find_leftovers(connection, resources, documents, manifests.namespace, identifier, members.list_kinds(parent))
    yield from (f"- {resource.kind}/{own}" for resource, own in gone)


def _read_applied(connection: Connection, parent: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """What was applied last; nothing when it is not kept."""
    if not parent:
        return {}
    try:
        items = read_manifests(connection, parent).items
    except DeployError:
        return {}
    return {(str(one.document["kind"]), str(one.document["metadata"]["name"])): one.document for one in items}


def _format_value(value: Any) -> str:
    text = repr(value) if value is NOTHING else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


Change = tuple[str, Any, Any]
_KEYS = ("name", "mountPath", "containerPort", "port")


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


NOTHING: Final = _Nothing()


def compare_objects(wanted: Any, live: Any, before: Any = NOTHING, path: str = "") -> Iterator[Change]:
    """Path, value on the cluster and value after, for each field that an apply changes; NOTHING where there is none.

    `before` is what was applied last: what it has and `wanted` has not goes, unless it went already. What only the
    server has stays. Items of lists are told apart by their names, as server-side apply does.
    """
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        old = before if isinstance(before, Mapping) else {}
        for key, value in wanted.items():
            below = f"{path}.{key}" if path else str(key)
            yield from compare_objects(value, live.get(key, NOTHING), old.get(key, NOTHING), below)
        for key in [key for key in old if key not in wanted and key in live]:
            yield f"{path}.{key}" if path else str(key), live[key], NOTHING
    elif isinstance(wanted, list) and isinstance(live, list):
        key = _find_key([*wanted, *live])
        if key:
            yield from _compare_items(wanted, live, before if isinstance(before, list) else [], key, path)
        elif len(wanted) != len(live):
            yield path, live, wanted
        else:
            for index, value in enumerate(wanted):
                yield from compare_objects(value, live[index], NOTHING, f"{path}[{index}]")
    elif live is NOTHING or find_differences(wanted, live):
        yield path, live, wanted


def _compare_items(
    wanted: Sequence[Any], live: Sequence[Any], before: Sequence[Any], key: str, path: str
) -> Iterator[Change]:
    present = {item[key]: item for item in live}
    old = {item[key]: item for item in before if isinstance(item, Mapping) and key in item}
    named = {item[key]: item for item in wanted}
    for name, item in named.items():
        yield from compare_objects(item, present.get(name, NOTHING), old.get(name, NOTHING), f"{path}[{name}]")
    for name in [name for name in old if name not in named and name in present]:
        yield f"{path}[{name}]", present[name], NOTHING


def _find_key(items: Sequence[Any]) -> str:
    if items and all(isinstance(item, Mapping) for item in items):
        return next((key for key in _KEYS if all(key in item for item in items)), "")
    return ""
