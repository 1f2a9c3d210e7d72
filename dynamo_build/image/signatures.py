"""Signatures of images in cosign's format, beside the image in its repository.

Source: cosign's signature specification: an OCI manifest under the tag `sha256-….sig` whose layers are simple signing
payloads (the containers/image "atomic signature" JSON), each with its signature in an annotation.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynamo.sdk import codec
from dynamo_build.errors import RegistryError
from dynamo_build.events import Listener, ignore
from dynamo_build.image import keys
from dynamo_build.image.referrers import beside, layer, read
from dynamo_build.model.reference import LAYOUT, ImageReference
from dynamo_build.oci import documents
from dynamo_build.oci.image import OciImage
from dynamo_build.seams import Registry

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
_TYPE = "cosign container image signature"


def sign(
    image: ImageReference, key: Path, registry: Registry, password: str = "", on: Listener = ignore
) -> tuple[str, str]:
    """Sign what the reference points to now. Gives the digest and where the signature is.

    Signatures that are there already stay. Raises UsageError for the key, RegistryError.
    """
    digest = str(registry.resolve(image))
    payload = codec.canonical(
        {
            "critical": {
                "identity": {"docker-reference": _identity(image)},
                "image": {"docker-manifest-digest": digest},
                "type": _TYPE,
            },
            "optional": None,
        }
    )
    signature = base64.b64encode(keys.sign(payload, key, password)).decode()
    to = beside(image, digest, "sig")
    kept = [(entry, content) for entry, content in _signatures(to, registry) if content != payload]
    added = layer(payload, PAYLOAD)
    entry = {
        "mediaType": PAYLOAD,
        "digest": added.digest,
        "size": added.size,
        "annotations": {SIGNATURE: signature},
    }
    layers = [*(layer(content, PAYLOAD) for _, content in kept), added]
    config = codec.canonical(
        {
            "architecture": "",
            "config": {},
            "created": "0001-01-01T00:00:00Z",
            "history": [{"created": "0001-01-01T00:00:00Z"} for _ in layers],
            "os": "",
            "rootfs": {"type": "layers", "diff_ids": [item.digest for item in layers]},
        }
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": documents.MANIFEST,
        "config": {"mediaType": documents.CONFIG, "digest": documents.digest_of(config), "size": len(config)},
        "layers": [*(dict(entry) for entry, _ in kept), entry],
    }
    registry.push(OciImage(manifest=codec.canonical(manifest), config=config, layers=tuple(layers)), (to,), on)
    return digest, str(to)


def verify(image: ImageReference, key: Path, registry: Registry) -> str:
    """The digest of the image, if a signature by this key's owner is there for it.

    Raises RegistryError where there is none, UsageError for the key.
    """
    fits = keys.verifier(key)
    digest = str(registry.resolve(image))
    found = _signatures(beside(image, digest, "sig"), registry)
    for entry, payload in found:
        said = documents.parse(payload, f"a signature of {image}")
        critical = said.get("critical")
        if not isinstance(critical, dict) or critical.get("type") != _TYPE:
            continue
        named = critical.get("image")
        if not isinstance(named, dict) or named.get("docker-manifest-digest") != digest:
            continue
        annotations = entry.get("annotations")
        text = str(annotations.get(SIGNATURE, "")) if isinstance(annotations, dict) else ""
        try:
            signature = base64.b64decode(text, validate=True)
        except binascii.Error:
            continue
        if fits(payload, signature):
            return digest
    seen = f"none of its {len(found)} signatures fits" if found else "it has no signature"
    raise RegistryError(
        f"`{image}` is not signed by the owner of `{key.name}`: {seen}", ["Sign it with `dynamo image sign`."]
    )


def _identity(image: ImageReference) -> str:
    return image.repository if image.host != LAYOUT else Path(image.folder).name


def _signatures(where: ImageReference, registry: Registry) -> list[tuple[Mapping[str, Any], bytes]]:
    try:
        manifest = documents.parse(registry.document(where), f"the signatures of {where}")
    except RegistryError as error:
        if error.status == 404:
            return []
        raise
    entries = manifest.get("layers")
    wanted = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [(entry, read(where, entry, registry)) for entry in wanted if entry.get("mediaType") == PAYLOAD]
