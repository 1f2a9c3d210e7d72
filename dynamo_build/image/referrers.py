"""Documents about an image beside it in its repository: found by any tool that follows the image's digest.

Source: OCI image spec 1.1, "Guidelines for Artifact Usage"; OCI distribution spec 1.1, "Referrers Tag Schema", which
also holds for registries without a referrers API.
"""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Mapping
from typing import Any

from dynamo.sdk import codec
from dynamo_build.errors import RegistryError
from dynamo_build.events import Listener, ignore
from dynamo_build.model.reference import LAYOUT, ImageReference
from dynamo_build.model.report import Document
from dynamo_build.oci import documents
from dynamo_build.oci.layer import Layer, Verified
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.seams import Registry

EMPTY = "application/vnd.oci.empty.v1+json"
#: The most that is read of a document about an image.
LARGEST = 64 << 20


def make_document_layer(content: bytes, kind: str) -> Layer:
    """Bytes as a layer of an artifact."""
    digest = documents.digest_of(content)
    return Layer(digest=digest, diff_id=digest, size=len(content), media_type=kind, source=lambda: io.BytesIO(content))


def attach_document(
    subject: ImageReference, content: bytes, kind: str, suffix: str, registry: Registry, on: Listener = ignore
) -> str:
    """Put a document beside an image that is named by its digest, and list it. Gives the document's reference.

    The tag `sha256-….<suffix>` names it too, as cosign would. Raises RegistryError.
    """
    described = registry.document(subject)
    manifest = {
        "schemaVersion": 2,
        "mediaType": documents.MANIFEST,
        "artifactType": kind,
        "config": {
            "mediaType": EMPTY,
            "digest": documents.digest_of(b"{}"),
            "size": 2,
            "data": base64.b64encode(b"{}").decode(),
        },
        "layers": [{"mediaType": kind, "digest": documents.digest_of(content), "size": len(content)}],
        "subject": {
            "mediaType": documents.parse_document(described, f"the manifest of {subject}").get(
                "mediaType", documents.MANIFEST
            ),
            "digest": documents.digest_of(described),
            "size": len(described),
        },
    }
    written = codec.encode_canonical(manifest)
    artifact = OciImage(manifest=written, config=b"{}", layers=(make_document_layer(content, kind),))
    digest = documents.digest_of(described)
    named = derive_tag(subject, digest, suffix)
    registry.push(artifact, (named,), on)
    _add_to_index(subject, digest, {"mediaType": documents.MANIFEST, "artifactType": kind}, written, registry, on)
    return str(named if named.host == LAYOUT else named.with_digest(artifact.digest))


def list_documents(subject: ImageReference, registry: Registry) -> tuple[Document, ...]:
    """What is listed for an image, which is named by its digest. Raises RegistryError."""
    return tuple(
        Document(kind=str(entry.get("artifactType", "")), digest=documents.parse_descriptor(entry, "the index")[0])
        for entry in _read_index(subject, subject.digest, registry)
    )


def read_document_blob(where: ImageReference, entry: Mapping[str, Any], registry: Registry) -> bytes:
    """The blob of a descriptor, checked and of bounded size. Raises RegistryError."""
    digest, size, _ = documents.parse_descriptor(entry, f"the manifest of {where}")
    if size > LARGEST:
        raise RegistryError(f"a document of `{where}` is larger than {LARGEST >> 20} MiB")
    with contextlib.closing(Verified(registry.blob(where, digest, size), digest, size)) as stream:
        return stream.read()


def derive_tag(subject: ImageReference, digest: str, suffix: str = "") -> ImageReference:
    """The tag next to an image: `sha256-…` lists what refers to it, with a suffix it is one document."""
    return subject.with_tag(digest.replace(":", "-") + (f".{suffix}" if suffix else ""))


def _read_index(subject: ImageReference, digest: str, registry: Registry) -> list[Mapping[str, Any]]:
    try:
        index = documents.parse_document(registry.document(derive_tag(subject, digest)), "the index of documents")
    except RegistryError as error:
        if error.status == 404:
            return []
        raise
    entries = index.get("manifests")
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _add_to_index(
    subject: ImageReference, digest: str, entry: Mapping[str, str], manifest: bytes, registry: Registry, on: Listener
) -> None:
    added = {**entry, "digest": documents.digest_of(manifest), "size": len(manifest)}
    kept = [
        item for item in _read_index(subject, digest, registry) if item.get("artifactType") != entry["artifactType"]
    ]
    entries = sorted([*kept, added], key=lambda item: (str(item.get("artifactType")), str(item["digest"])))
    index = {"schemaVersion": 2, "mediaType": documents.INDEX, "manifests": entries}
    registry.push_index(codec.encode_canonical(index), (derive_tag(subject, digest),), on)
