"""An image as one tar that engines load: an OCI layout with the `manifest.json` that Docker looks for.

Engines before 26 with the containerd store refuse a bare OCI layout, so both forms are in the one file.
"""

from __future__ import annotations

import contextlib
import tarfile
from collections.abc import Collection, Iterator
from typing import BinaryIO

from dynamo.sdk import codec
from dynamo_build.errors import ImageBuildError
from dynamo_build.oci import documents
from dynamo_build.oci.layer import CHUNK, STAMP, Layer
from dynamo_build.oci.oci_image import OciImage


def iterate_pieces(image: OciImage, references: tuple[str, ...], leave_out: Collection[str] = ()) -> Iterator[bytes]:
    """The archive, piece by piece. `leave_out` are digests of layers that the engine has already."""
    named = [
        {
            "Config": _blob_path(image.config_digest),
            "RepoTags": list(references),
            "Layers": [_blob_path(layer.digest) for layer in image.layers],
        }
    ]
    index = {
        "schemaVersion": 2,
        "mediaType": documents.INDEX,
        "manifests": [
            {
                "mediaType": image.media_type,
                "digest": image.digest,
                "size": len(image.manifest),
                "annotations": {"io.containerd.image.name": reference},
            }
            for reference in references
        ],
    }
    yield from _build_member("manifest.json", codec.encode_canonical(named))
    yield from _build_member("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    yield from _build_member("index.json", codec.encode_canonical(index))
    yield from _build_member(_blob_path(image.digest), image.manifest)
    yield from _build_member(_blob_path(image.config_digest), image.config)
    written = set(leave_out)
    for layer in image.layers:
        if layer.digest not in written:
            written.add(layer.digest)
            yield from _stream_layer(layer)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def write_image_archive(
    image: OciImage, references: tuple[str, ...], out: BinaryIO, leave_out: Collection[str] = ()
) -> None:
    """Write the archive to a file or a socket."""
    for piece in iterate_pieces(image, references, leave_out):
        out.write(piece)


def _blob_path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _build_header(name: str, size: int) -> bytes:
    header = tarfile.TarInfo(name)
    header.size, header.mtime, header.mode = size, STAMP, 0o644
    return header.tobuf(tarfile.GNU_FORMAT)


def _build_member(name: str, content: bytes) -> Iterator[bytes]:
    yield _build_header(name, len(content)) + content + b"\0" * (-len(content) % tarfile.BLOCKSIZE)


def _stream_layer(layer: Layer) -> Iterator[bytes]:
    if "zstd" in layer.media_type:
        raise ImageBuildError(
            f"layer {layer.digest} is zstd, which not every engine loads",
            ["Give `--compression gzip`, and a base with gzip layers."],
        )
    yield _build_header(_blob_path(layer.digest), layer.size)
    with contextlib.closing(layer.open()) as stream:
        while piece := stream.read(CHUNK):
            yield piece
    yield b"\0" * (-layer.size % tarfile.BLOCKSIZE)
