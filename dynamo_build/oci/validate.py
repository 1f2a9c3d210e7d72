"""Integrity checks of an image: digests, sizes, diff ids, counts and safe names.

What the contract suites hold every source and every builder to.
"""

from __future__ import annotations

import contextlib
import tarfile
import zlib
from typing import Any, cast

from dynamo_build.errors import RegistryError, ToolMissing
from dynamo_build.oci import documents
from dynamo_build.oci.contents import Unpacked
from dynamo_build.oci.layer import CHUNK, Layer
from dynamo_build.oci.oci_image import OciImage


def find_image_problems(image: OciImage) -> tuple[str, ...]:
    """All that is wrong with the image; empty when it is whole. Reads every layer."""
    found = [*_check_documents(image)]
    for layer in image.layers:
        try:
            found += _check_layer(layer)
        except (RegistryError, ToolMissing, tarfile.TarError, zlib.error, OSError, EOFError) as error:
            found.append(f"layer {layer.digest}: {error}")
    return tuple(found)


def _check_documents(image: OciImage) -> list[str]:
    found = []
    manifest = documents.parse_document(image.manifest, "the manifest")
    digest, size, _ = documents.parse_descriptor(manifest.get("config"), "the manifest")
    if digest != image.config_digest or size != len(image.config):
        found.append("the manifest names another config")
    if [layer[:2] for layer in documents.list_layers(manifest, "the manifest")] != [
        (layer.digest, layer.size) for layer in image.layers
    ]:
        found.append("the manifest lists other layers")
    if documents.list_diff_ids(image.document, "the config") != [layer.diff_id for layer in image.layers]:
        found.append("the config lists other diff ids")
    history = image.document.get("history") or []
    counted = sum(1 for entry in history if not entry.get("empty_layer"))
    if counted != len(image.layers):
        found.append(f"the history has {counted} layers, the image {len(image.layers)}")
    return found


def _check_layer(layer: Layer) -> list[str]:
    found = []
    with contextlib.closing(layer.open()) as stream:
        plain = Unpacked(stream, layer.media_type)
        with tarfile.open(fileobj=cast(Any, plain), mode="r|") as archive:
            for member in archive:
                if member.name.startswith("/") or ".." in member.name.split("/"):
                    found.append(f"layer {layer.digest} holds the unsafe name {member.name!r}")
        while plain.read(CHUNK):
            pass
    if f"sha256:{plain.hash.hexdigest()}" != layer.diff_id:
        found.append(f"layer {layer.digest} unpacks to another diff id")
    return found
