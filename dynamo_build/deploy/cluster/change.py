"""Comparison of an object on the cluster with the one to apply."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from dynamo.sdk import codec
from dynamo_build.deploy.kubernetes.objects import quantity

#: The digest of what was last applied: a field that was dropped since shows only here.
APPLIED = "dynamo/applied"


def add_digest(document: Mapping[str, Any]) -> dict[str, Any]:
    """The object with the digest of itself as an annotation."""
    digest = hashlib.sha256(codec.encode_canonical(document)).hexdigest()[:32]
    metadata = dict(document["metadata"])
    metadata["annotations"] = {**metadata.get("annotations", {}), APPLIED: digest}
    return {**document, "metadata": metadata}


def find_differences(wanted: Any, live: Any, path: str = "") -> list[str]:
    """Paths at which the live object differs from the wanted one; what the server added is no difference."""
    if isinstance(wanted, Mapping):
        if not isinstance(live, Mapping):
            return [path or "."] if wanted else []
        return [
            found
            for key, value in wanted.items()
            for found in find_differences(value, live.get(key), f"{path}.{key}" if path else str(key))
        ]
    if isinstance(wanted, list):
        if not isinstance(live, list) or len(live) < len(wanted):
            return [path]
        return [
            found
            for index, value in enumerate(wanted)
            for found in find_differences(value, live[index], f"{path}[{index}]")
        ]
    if wanted == live or (isinstance(wanted, str) and isinstance(live, str) and _same_quantity(wanted, live)):
        return []
    return [path]


def _same_quantity(left: str, right: str) -> bool:
    number = quantity.parse_quantity(left)
    return number is not None and number == quantity.parse_quantity(right)
