"""The OCI image layout in a folder, treated as hostile when read and written atomically.

Source: OCI image spec, "Image Layout": `oci-layout`, `index.json`, `blobs/sha256/…`; an entry's name is its annotation
`org.opencontainers.image.ref.name`.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from dynamo.sdk import codec
from dynamo_build.errors import RegistryError
from dynamo_build.oci import documents
from dynamo_build.oci.layer import CHUNK
from dynamo_build.oci.oci_image import OciImage

NAME = "org.opencontainers.image.ref.name"
_MARK = b'{"imageLayoutVersion":"1.0.0"}'


def is_layout(folder: Path) -> bool:
    """Whether the folder holds an OCI image layout."""
    return (folder / "oci-layout").is_file() and (folder / "index.json").is_file()


def resolve_digest(folder: Path, tag: str = "", digest: str = "") -> str:
    """The digest of an entry by tag or digest; without either, of the only one. Raises RegistryError."""
    entries = [
        (documents.parse_descriptor(entry, "index.json")[0], _read_name(entry)) for entry in _read_entries(folder)
    ]
    if digest:
        if (folder / "blobs" / digest.replace(":", "/")).is_file():
            return digest
        raise RegistryError(f"`{folder}` holds no image {digest}", status=404)
    found = [entry for entry, name in entries if name == tag] if tag else [entry for entry, _ in entries]
    if len(found) == 1 or (tag and found):
        return found[-1]
    names = ", ".join(sorted({name for _, name in entries if name})) or "no names"
    if tag:
        raise RegistryError(f"`{folder}` holds no image `{tag}`", [f"It holds {names}."], status=404)
    raise RegistryError(f"`{folder}` holds {len(entries)} images", [f"Name one of them: {names}."], status=404)


def read_image(folder: Path, platform: str, tag: str = "", digest: str = "") -> OciImage:
    """The image of one platform. Raises RegistryError."""
    content = read_document(folder, resolve_digest(folder, tag, digest))
    parsed = documents.parse_document(content, "the manifest")
    if documents.is_index(parsed):
        content = read_document(folder, documents.choose_manifest(parsed, platform, f"`{folder}`"))
        parsed = documents.parse_document(content, "the manifest")
    config = read_document(folder, documents.parse_descriptor(parsed.get("config"), "the manifest")[0])
    return OciImage.from_documents(content, config, lambda digest, _: open_blob(folder, digest))


def write_image(
    folder: Path, image: OciImage, tags: tuple[str, ...], done: Callable[[int], object] = lambda _: None
) -> str:
    """Add an image under these tags, blobs first and the index last; other entries stay. Gives the image's digest."""
    blobs = folder / "blobs" / "sha256"
    try:
        blobs.mkdir(parents=True, exist_ok=True)
        for layer in image.layers:
            target = blobs / layer.digest.removeprefix("sha256:")
            if not (target.is_file() and target.stat().st_size == layer.size):
                with open_replacement(target) as out, contextlib.closing(layer.open()) as stream:
                    while piece := stream.read(CHUNK):
                        out.write(piece)
            done(layer.size)
        for content in (image.config, image.manifest):
            _replace_file(blobs / documents.digest_of(content).removeprefix("sha256:"), content)
        _replace_file(folder / "oci-layout", _MARK)
        system, _, architecture = image.platform.partition("/")
        entry = {
            "mediaType": image.media_type,
            "digest": image.digest,
            "size": len(image.manifest),
            "platform": {"os": system, "architecture": architecture},
        }
        _replace_file(folder / "index.json", codec.encode_canonical(_build_index(folder, entry, tags)))
    except OSError as error:
        raise RegistryError(f"`{folder}` cannot be written: {error.strerror or error}") from error
    return image.digest


def write_index(folder: Path, content: bytes, tags: tuple[str, ...]) -> str:
    """Add an index of images that are in the folder under these tags. Gives its digest."""
    digest = documents.digest_of(content)
    try:
        _replace_file(folder / "blobs" / "sha256" / digest.removeprefix("sha256:"), content)
        entry = {"mediaType": documents.INDEX, "digest": digest, "size": len(content)}
        _replace_file(folder / "index.json", codec.encode_canonical(_build_index(folder, entry, tags)))
    except OSError as error:
        raise RegistryError(f"`{folder}` cannot be written: {error.strerror or error}") from error
    return digest


@contextlib.contextmanager
def open_replacement(target: Path) -> Iterator[BinaryIO]:
    """A file that takes its place only when it was written in full."""
    handle, name = tempfile.mkstemp(prefix=".new-", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            yield out
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _replace_file(target: Path, content: bytes) -> None:
    with open_replacement(target) as out:
        out.write(content)


def _build_index(folder: Path, entry: Mapping[str, Any], tags: tuple[str, ...]) -> Mapping[str, Any]:
    kept = (
        [dict(entry) for entry in _read_entries(folder) if _read_name(entry) not in tags] if is_layout(folder) else []
    )
    kept += [{**entry, "annotations": {NAME: tag}} for tag in tags]
    kept.sort(key=lambda entry: (_read_name(entry), str(entry.get("digest"))))
    return {"schemaVersion": 2, "mediaType": documents.INDEX, "manifests": kept}


def _read_entries(folder: Path) -> list[Mapping[str, Any]]:
    if not is_layout(folder):
        raise RegistryError(f"`{folder}` is not an OCI image layout", status=404)
    entries = documents.parse_document(_read_limited(folder / "index.json"), "index.json").get("manifests")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise RegistryError(f"`{folder}/index.json` has no list of manifests")
    return entries


def _read_name(entry: Mapping[str, Any]) -> str:
    annotations = entry.get("annotations")
    return str(annotations.get(NAME, "")) if isinstance(annotations, dict) else ""


def open_blob(folder: Path, digest: str) -> BinaryIO:
    """A blob, unchecked. Raises RegistryError."""
    try:
        return (folder / "blobs" / "sha256" / digest.removeprefix("sha256:")).open("rb")
    except OSError as error:
        raise RegistryError(f"`{folder}` lacks the blob {digest}", status=404) from error


def read_document(folder: Path, digest: str) -> bytes:
    """A manifest, index or config by its digest, which is checked. Raises RegistryError."""
    with open_blob(folder, digest) as stream:
        content = stream.read(documents.LARGEST + 1)
    if documents.digest_of(content) != digest:
        raise RegistryError(f"`{folder}` holds other content under {digest}")
    return content


def _read_limited(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(documents.LARGEST + 1)
    except OSError as error:
        raise RegistryError(f"`{path}` cannot be read: {error.strerror}") from error
