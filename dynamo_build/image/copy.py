"""Copies of images and indexes between registries, under the same digest."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from dynamo_build.errors import RegistryError
from dynamo_build.events import Listener, ignore
from dynamo_build.image.referrers import derive_tag, read_document_blob
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci import documents
from dynamo_build.oci.layer import Layer
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.seams import Registry, Surroundings

#: What cosign and `attach` put beside an image; "" is the list of what refers to it.
_BESIDE = ("sig", "att", "sbom", "spdx", "")


def copy_image(source: ImageReference, to: ImageReference, surroundings: Surroundings, on: Listener = ignore) -> str:
    """Copy with all platforms, and with signatures and documents. Gives the digest. Raises RegistryError."""
    there, here = surroundings.registry(source), surroundings.registry(to)
    digest = _copy_manifest(source, to, there, here, on)
    for suffix in _BESIDE:
        try:
            _copy_manifest(derive_tag(source, digest, suffix), derive_tag(to, digest, suffix), there, here, on)
        except RegistryError as error:
            if error.status != 404:
                raise
    return digest


def _copy_manifest(source: ImageReference, to: ImageReference, there: Registry, here: Registry, on: Listener) -> str:
    content = there.document(source)
    parsed = documents.parse_document(content, f"the manifest of {source}")
    digest = documents.digest_of(content)
    if not documents.is_index(parsed):
        here.push(load_artifact(replace(source, digest=digest), content, there), (to,), on)
        return digest
    entries = parsed.get("manifests")
    for entry in entries if isinstance(entries, list) else []:
        part = documents.parse_descriptor(entry, f"the index of {source}")[0]
        if part != digest:
            inner = replace(to, tag="" if not to.folder else part.replace(":", "-"), digest="" if to.folder else part)
            _copy_manifest(replace(source, tag="", digest=part), inner, there, here, on)
    here.push_index(content, (to,), on)
    return digest


def load_artifact(source: ImageReference, manifest: bytes, registry: Registry) -> OciImage:
    """Whatever a manifest names, image or artifact, as something that can be pushed; blobs are read then."""
    parsed = documents.parse_document(manifest, f"the manifest of {source}")
    config = read_document_blob(source, parsed.get("config") or {}, registry)
    origin = None if source.folder else ImageReference(source.host, source.path)
    layers = []
    entries = parsed.get("layers")
    for entry in entries if isinstance(entries, list) else []:
        digest, size, kind = documents.parse_descriptor(entry, f"the manifest of {source}")
        blob = partial(registry.blob, source, digest, size)
        layers.append(Layer(digest=digest, diff_id=digest, size=size, media_type=kind, origin=origin, source=blob))
    return OciImage(manifest=manifest, config=config, layers=tuple(layers))
