"""Field ownership as server-side apply has it: paths in the form of FieldsV1, lists by their keys.

Source: Kubernetes "Server-Side Apply", and the list types of the OpenAPI of 1.36.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

Path = tuple[str, ...]

LIST_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "imagePullSecrets": ("name",),
    "volumeMounts": ("mountPath",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "ownerReferences": ("uid",),
    "conditions": ("type",),
}
ATOMIC_MAPS = {
    "selector",
    "nodeSelector",
    "podSelector",
    "resourceFieldRef",
    "secretKeyRef",
    "configMapKeyRef",
    "fieldRef",
}


def list_keys(field: str, items: list[Any]) -> tuple[str, ...]:
    """The keys of an associative list; empty for an atomic one."""
    if field == "ports" and all(isinstance(item, dict) for item in items):
        if any("containerPort" in item for item in items):
            return ("containerPort", "protocol")
        if any("targetPort" in item or "nodePort" in item for item in items):
            return ("port", "protocol")
        return ()
    return LIST_KEYS.get(field, ())


def item_key(item: dict[str, Any], keys: tuple[str, ...]) -> str:
    named = {key: item.get(key, "TCP" if key == "protocol" else None) for key in keys}
    return "k:" + json.dumps(named, separators=(",", ":"), sort_keys=True)


def leaves(value: Any, path: Path = (), field: str = "") -> Iterator[tuple[Path, Any]]:
    """Every leaf path of an applied object with its value; an empty map and an atomic list are leaves."""
    if isinstance(value, dict) and value and not (field in ATOMIC_MAPS and len(path) > 1 and path[0] == "f:spec"):
        for key, item in value.items():
            yield from leaves(item, (*path, f"f:{key}"), key)
        return
    if isinstance(value, list) and value and (keys := list_keys(field, value)):
        for item in value:
            yield from leaves(item, (*path, item_key(item, keys)))
        return
    yield path, value


def owned(document: dict[str, Any]) -> dict[Path, Any]:
    """What a manager owns by applying this document: all but its identity."""
    skipped = {("f:apiVersion",), ("f:kind",), ("f:metadata", "f:name"), ("f:metadata", "f:namespace")}
    return {path: value for path, value in leaves(document) if path not in skipped}


def lookup(document: Any, path: Path, field: str = "") -> Any:
    """The value at a path; raises KeyError when there is none."""
    for step in path:
        if step.startswith("f:"):
            field = step[2:]
            document = document[field]
        else:
            document = next(item for item in _find(document, step, field))
    return document


def _find(items: list[Any], step: str, field: str) -> Iterator[Any]:
    keys = list_keys(field, items)
    found = [item for item in items if item_key(item, keys) == step]
    if not found:
        raise KeyError(step)
    yield from found


def is_key(path: Path) -> bool:
    """Whether the leaf names an item of an associative list."""
    return len(path) > 1 and path[-2].startswith("k:") and path[-1][2:] in json.loads(path[-2][2:])


def remove(document: Any, path: Path) -> None:
    """Take a leaf away, and the list item or map that it leaves empty; with its key a list item goes."""
    if is_key(path):
        path = path[:-1]
    try:
        parents = [document]
        for depth in range(1, len(path)):
            parents.append(lookup(document, path[:depth]))
    except (KeyError, StopIteration, TypeError):
        return
    for depth in range(len(path) - 1, -1, -1):
        parent, step = parents[depth], path[depth]
        if step.startswith("f:") and isinstance(parent, dict):
            parent.pop(step[2:], None)
        elif isinstance(parent, list):
            field = next((item[2:] for item in reversed(path[:depth]) if item.startswith("f:")), "")
            keys = list_keys(field, parent)
            parent[:] = [item for item in parent if item_key(item, keys) != step]
        if parent or depth == 0:
            return
        if depth and isinstance(parent, dict) and path[depth - 1].startswith("f:"):
            continue


def merge(live: Any, applied: Any, field: str = "", depth: int = 0) -> Any:
    """The applied value laid over the live one, associative lists by their keys."""
    if isinstance(live, dict) and isinstance(applied, dict) and not (field in ATOMIC_MAPS and depth > 1):
        merged = dict(live)
        for key, value in applied.items():
            merged[key] = merge(live[key], value, key, depth + 1) if key in live else copy.deepcopy(value)
        return merged
    if isinstance(live, list) and isinstance(applied, list) and (keys := list_keys(field, [*live, *applied])):
        merged_list = [copy.deepcopy(item) for item in live]
        positions = {item_key(item, keys): index for index, item in enumerate(merged_list)}
        for item in applied:
            key = item_key(item, keys)
            if key in positions:
                merged_list[positions[key]] = merge(merged_list[positions[key]], item, "", depth + 1)
            else:
                merged_list.append(copy.deepcopy(item))
        return merged_list
    return copy.deepcopy(applied)


def fields_v1(paths: set[Path]) -> dict[str, Any]:
    """Paths in the nested form in which the server shows them."""
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
    return tree


def shown(path: Path) -> str:
    """A path as conflict messages write it: `.spec.template.spec.containers[name="main"].image`."""
    text = ""
    for step in path:
        if step.startswith("f:"):
            text += f".{step[2:]}"
        else:
            named = json.loads(step[2:])
            text += "[" + ",".join(f'{key}="{value}"' for key, value in named.items()) + "]"
    return text
