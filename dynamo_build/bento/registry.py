"""A bento in any registry and back: its archive as the one layer of an OCI artifact; one bento, one digest.

Source: OCI image spec 1.1, "Guidelines for Artifact Usage". The config is that of an image without settings, so that a
registry or a tool that knows only images carries it too.
"""

from __future__ import annotations

from collections.abc import Callable

from dynamo.sdk import codec
from dynamo_build.bento import archive, export
from dynamo_build.bento.store import Store
from dynamo_build.errors import RegistryError
from dynamo_build.events import Listener, ignore
from dynamo_build.model.bento import Bento
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci import documents
from dynamo_build.oci.layer import Layer
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.seams import Registry
from dynamo_build.system import atomic
from dynamo_build.system.digest import digest_file

KIND = "application/vnd.dynamo.bento.v1"
_TAR = "application/vnd.oci.image.layer.v1.tar"
_PLATFORM = "linux/amd64"  # an artifact has none; this one is what its config says
_CHUNK = 1 << 20


def push_bento(bento: Bento, to: ImageReference, registry: Registry, store: Store, on: Listener = ignore) -> str:
    """Send a bento and give its reference with the digest. Raises StoreError for a damaged one, RegistryError."""
    with store.open_staging() as folder:
        path = export.export(bento, folder / "bento.tar", compressed=False)
        with atomic.wrap_os_error("read the archive"):
            digest, size = digest_file(path), path.stat().st_size
        layer = Layer(digest=digest, diff_id=digest, size=size, media_type=_TAR, source=lambda: path.open("rb"))
        named = registry.push(_build_artifact(bento, layer), (to,), on)
    return f"{to.with_digest(str(named))}"


def pull_bento(reference: ImageReference, registry: Registry, store: Store, limit: int = archive.LIMIT) -> Bento:
    """Fetch a bento, check every digest of it, and put it into the store. Raises RegistryError or StoreError."""
    image = registry.pull(reference, _PLATFORM)
    manifest = documents.parse_document(image.manifest, f"the manifest of {reference}")
    if manifest.get("artifactType") != KIND or len(image.layers) != 1:
        raise RegistryError(f"`{reference}` is not a bento", ["Name what `dynamo push` printed."])
    if image.layers[0].size > limit:
        raise RegistryError(f"`{reference}` holds more than {limit} bytes")
    with store.open_staging() as folder:
        path = folder / "bento.tar"
        with atomic.wrap_os_error("write to the store"), path.open("wb") as target:
            blob = image.layers[0].open()
            try:
                _copy_stream(blob.read, target.write)
            finally:
                blob.close()
        return export.import_bento(path, store, limit)


def _copy_stream(read: Callable[[int], bytes], write: Callable[[bytes], object]) -> None:
    while data := read(_CHUNK):
        write(data)


def _build_artifact(bento: Bento, layer: Layer) -> OciImage:
    system, _, architecture = _PLATFORM.partition("/")
    config = {"os": system, "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]}}
    written = codec.encode_canonical(config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": documents.MANIFEST,
        "artifactType": KIND,
        "config": {"mediaType": documents.CONFIG, "digest": documents.digest_of(written), "size": len(written)},
        "layers": [{"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}],
        "annotations": {
            "org.opencontainers.image.title": bento.manifest.name,
            "org.opencontainers.image.version": bento.manifest.version,
        },
    }
    return OciImage(manifest=codec.encode_canonical(manifest), config=written, layers=(layer,))
