"""Documents attached to an image, with their content."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dynamo_build.image.referrers import beside, listed, read
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci import documents
from dynamo_build.seams import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A document about an image: what kind, the digest of its manifest, and its bytes."""

    kind: str
    digest: str
    content: bytes = b""


def attached(subject: ImageReference, registry: Registry, kind: str = "") -> tuple[Attached, ...]:
    """What is listed for an image, with its content. Raises RegistryError for what is listed and not there."""
    digest = documents.digest_of(registry.document(subject))
    found = []
    for entry in listed(replace(subject, digest=digest), registry):
        if kind and entry.kind != kind:
            continue
        where = replace(beside(subject, digest), tag="", digest=entry.digest)
        manifest = documents.parse(registry.document(where), f"the manifest of {where}")
        content = b"".join(read(where, item, registry) for item in manifest.get("layers") or ())
        found.append(Attached(kind=entry.kind, digest=entry.digest, content=content))
    return tuple(found)
