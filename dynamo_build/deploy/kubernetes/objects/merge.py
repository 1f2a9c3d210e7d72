"""Overrides laid over an object: maps merge, named lists merge by their key, null removes.

Source: Kubernetes "strategic merge patch" (sig-api-machinery); the merge keys are those of the core types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MERGE_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "ports": ("containerPort", "port"),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey",),
    "resourceClaims": ("name",),
}


def strategic_merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """`upper` over `lower`. `$patch: replace` takes an object as written, `$patch: delete` removes a list's item."""
    if upper.get("$patch") == "replace":
        return {key: value for key, value in upper.items() if key != "$patch"}
    merged = dict(lower)
    for key, value in upper.items():
        present = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            merged[key] = strategic_merge(present if isinstance(present, Mapping) else {}, value)
        elif isinstance(value, list) and isinstance(present, list) and key in _MERGE_KEYS:
            merged[key] = _merge_lists(present, value, _MERGE_KEYS[key])
        else:
            merged[key] = value
    return merged


def _merge_lists(lower: list[Any], upper: list[Any], keys: tuple[str, ...]) -> list[Any]:
    merged = list(lower)
    for item in upper:
        key = next((name for name in keys if isinstance(item, Mapping) and name in item), None)
        if key is None:
            merged.append(item)
            continue
        index = next(
            (n for n, old in enumerate(merged) if isinstance(old, Mapping) and old.get(key) == item[key]), None
        )
        if item.get("$patch") == "delete":
            merged = [old for n, old in enumerate(merged) if n != index]
        elif index is None:
            merged.append(dict(item))
        else:
            merged[index] = strategic_merge(merged[index], item)
    return merged
