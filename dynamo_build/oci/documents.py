"""Manifests, indexes and configs from outside, parsed and validated.

Source: OCI image spec (manifest, index, config) and the Docker v2 schema 2 forms of the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from dynamo_build.errors import RegistryError, UsageError
from dynamo_build.model.reference import Digest, Platform

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
#: All that a registry is asked for: some answer 404 for an OCI manifest when only one is named.
ACCEPTED = (MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST)
_LAYERS = {
    "application/vnd.oci.image.layer.v1.tar": "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar": "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
}
LARGEST = 8 << 20


class PlatformMissing(RegistryError):
    """An index has no image for the wanted platform."""


def digest_of(content: bytes) -> str:
    """`sha256:…` of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def parse(content: bytes, what: str) -> Mapping[str, Any]:
    """A JSON object of bounded size. Raises RegistryError."""
    if len(content) > LARGEST:
        raise RegistryError(f"{what} is larger than {LARGEST >> 20} MiB")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise RegistryError(f"{what} is not JSON") from None
    if not isinstance(document, dict):
        raise RegistryError(f"{what} is not a JSON object")
    return document


def is_index(document: Mapping[str, Any]) -> bool:
    """Whether this is an index (a manifest list) and not a manifest."""
    return document.get("mediaType") in (INDEX, DOCKER_LIST) or ("manifests" in document and "layers" not in document)


def choose(index: Mapping[str, Any], platform: str, what: str) -> str:
    """The digest of the platform's manifest in an index. Raises RegistryError when there is none."""
    wanted = Platform.parse(platform)
    seen = []
    for entry in _objects(index, "manifests", what):
        found = entry.get("platform") or {}
        if not isinstance(found, dict):
            raise RegistryError(f"{what} has a platform that is not an object")
        seen.append(f"{found.get('os')}/{found.get('architecture')}")
        if found.get("os") == wanted.system and found.get("architecture") == wanted.architecture:
            return descriptor(entry, what)[0]
    raise PlatformMissing(
        f"{what} has no image for {platform}, only for {', '.join(sorted(set(seen))) or 'nothing'}",
        ["Choose another base, or another `--platform`."],
    )


def descriptor(entry: Any, what: str) -> tuple[str, int, str]:
    """Digest, size and media type of a descriptor. Raises RegistryError."""
    if not isinstance(entry, dict) or not isinstance(entry.get("size"), int) or entry["size"] < 0:
        raise RegistryError(f"{what} has a descriptor without a size")
    try:
        digest = Digest.parse(str(entry.get("digest")))
    except UsageError as error:
        raise RegistryError(f"{what}: {error.message}") from error
    return str(digest), entry["size"], str(entry.get("mediaType", ""))


def layers(manifest: Mapping[str, Any], what: str) -> list[tuple[str, int, str]]:
    """The layers of a manifest as (digest, size, OCI media type). Raises RegistryError for a kind we cannot carry."""
    found = []
    for entry in _objects(manifest, "layers", what):
        digest, size, kind = descriptor(entry, what)
        if kind not in _LAYERS:
            raise RegistryError(f"{what} has a layer of kind `{kind}`, which cannot be carried over")
        found.append((digest, size, _LAYERS[kind]))
    return found


def diff_ids(config: Mapping[str, Any], what: str) -> list[str]:
    """The diff ids of a config. Raises RegistryError."""
    ids = (config.get("rootfs") or {}).get("diff_ids") if isinstance(config.get("rootfs") or {}, dict) else None
    if not isinstance(ids, list) or not all(isinstance(item, str) for item in ids):
        raise RegistryError(f"{what} does not list its layers")
    return list(ids)


def _objects(document: Mapping[str, Any], name: str, what: str) -> list[dict[str, Any]]:
    items = document.get(name)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise RegistryError(f"{what} has no list of {name}")
    return items
