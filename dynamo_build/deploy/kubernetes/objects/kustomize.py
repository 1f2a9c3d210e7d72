"""Manifests as a kustomize base, with an overlay for each environment that services name in their overrides.

Source: kustomize.config.k8s.io/v1beta1, Kustomization; RFC 6902 (JSON patch).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dynamo_build.deploy.kubernetes.objects.manifest_files import format_heading
from dynamo_build.deploy.kubernetes.objects.names import is_subdomain
from dynamo_build.deploy.kubernetes.objects.writer import yaml_document
from dynamo_build.errors import UsageError
from dynamo_build.model.deployment import Manifests

#: The overlay of those who have no environments.
DEFAULT = "default"
_KUSTOMIZATION = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}


def render_kustomize(plain: Manifests, environments: Mapping[str, Manifests]) -> dict[str, str]:
    """Names and texts of the files: `base`, which is in no namespace, and `overlays`, each the same as the plain form.

    Raises UsageError for an environment that cannot be the name of a folder.
    """
    found: dict[str, str] = {}
    names = []
    for number, item in enumerate(plain.items, 1):
        document = {**item.document, "metadata": _without_namespace(item.document["metadata"])}
        names.append(f"{number:03d}-{item.file}.yaml")
        found[f"base/{names[-1]}"] = yaml_document(document)
    found["base/kustomization.yaml"] = yaml_document({**_KUSTOMIZATION, "resources": names})
    for name, manifests in {DEFAULT: plain, **environments}.items():
        if not is_subdomain(name):
            raise UsageError(f"`{name}` cannot be the name of an overlay", ["Use lower-case letters, digits and `-`."])
        patches = list(_build_patches(plain, manifests))
        overlay = {
            **_KUSTOMIZATION,
            "namespace": manifests.namespace,
            "resources": ["../../base"],
            **({"patches": patches} if patches else {}),
        }
        comments = "".join(f"# {line}\n" for line in format_heading(manifests))
        found[f"overlays/{name}/kustomization.yaml"] = comments + yaml_document(overlay)
    return found


def _without_namespace(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if key != "namespace"}


def _build_patches(plain: Manifests, wanted: Manifests) -> Iterator[dict[str, Any]]:
    others = {(item.document["kind"], item.document["metadata"]["name"]): item.document for item in wanted.items}
    for item in plain.items:
        group, _, version = str(item.document["apiVersion"]).rpartition("/")
        kind, name = item.document["kind"], item.document["metadata"]["name"]
        operations = list(_list_operations(item.document, others[kind, name], ""))
        if operations:
            target = {**({"group": group} if group else {}), "version": version, "kind": kind, "name": name}
            yield {"target": target, "patch": json.dumps(operations, indent=1, sort_keys=True)}


def _list_operations(left: Any, right: Any, path: str) -> Iterator[dict[str, Any]]:
    if not (isinstance(left, Mapping) and isinstance(right, Mapping)):
        if left != right:
            yield {"op": "replace", "path": path, "value": right}
        return
    for key in [*left, *(key for key in right if key not in left)]:
        below = f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}"
        if key not in right:
            yield {"op": "remove", "path": below}
        elif key not in left:
            yield {"op": "add", "path": below, "value": right[key]}
        else:
            yield from _list_operations(left[key], right[key], below)
